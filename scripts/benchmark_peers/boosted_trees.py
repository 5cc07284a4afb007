"""Contender: a training of LightGBM on the rides, from CSV, with its defaults but 200 trees.

python boosted_trees.py CSV_FILE...

Prints {"read": seconds, "train": seconds, "rows": rows}; the imports are left out.
"""

import json
import sys
import time

import columns
import numpy as np

NUM_TREES = 200


def main(argv: list[str]) -> int:
    """Read, train once, print."""
    import lightgbm
    import pandas

    started = time.perf_counter()
    table = pandas.concat(
        pandas.read_csv(path, names=list(columns.FIELDS), header=None) for path in argv
    )
    times = pandas.to_datetime(table[columns.DATE], format="%Y-%m-%d %H:%M:%S UTC").dt
    parts = [times.dayofweek, times.hour, times.month, times.year]
    inputs = np.stack([*(table[n] for n in columns.NUMBERS), *parts], axis=1).astype(np.float32)
    label = table[columns.LABEL].to_numpy(np.float32)
    read = time.perf_counter()
    data = lightgbm.Dataset(inputs, label)
    lightgbm.train({"objective": "regression", "verbose": -1}, data, num_boost_round=NUM_TREES)
    seconds = {"read": read - started, "train": time.perf_counter() - read, "rows": len(label)}
    print(json.dumps(seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
