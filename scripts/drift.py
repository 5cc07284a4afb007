#!/usr/bin/env python3
"""Whether new files still look like the rows that a model was trained on.

    python scripts/drift.py --model=runs/taxifare_sample new-1.csv new-2.csv
    python scripts/drift.py --model=gs://BUCKET/run --threshold=0.1 --threshold=age=0.05 'new*.csv'

Jensen-Shannon divergence for numbers, L-infinity distance for categories. A column drifts where it
is beyond its threshold and beyond what chance does to so many rows. Exit code: 0 no drift, 3 drift,
2 a mistake.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from trainer import storage
from trainer.errors import UserError
from trainer.insight.drift import format_drift, measure_drift, parse_thresholds


def main(argv: list[str]) -> int:
    """Print the table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="new files or patterns, local or gs://")
    parser.add_argument("--model", required=True, help="folder of a run or an exported model")
    parser.add_argument(
        "--threshold",
        action="append",
        default=[],
        help="NUMBER of all columns (0.3), or COLUMN=NUMBER; may be given several times",
    )
    parser.add_argument("--json", help="file for the same numbers as JSON")
    options = parser.parse_args(argv)
    try:
        found = measure_drift(options.model, options.files, *parse_thresholds(options.threshold))
        if options.json:
            rows = [drift._asdict() for drift in found]
            storage.write_text(options.json, json.dumps(rows, indent=1) + "\n")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(format_drift(found))
    return 3 if any(drift.is_drift for drift in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
