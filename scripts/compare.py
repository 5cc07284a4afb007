"""Train the model, LightGBM and a linear model on the same rows, and print one table.

    python scripts/compare.py --config=my.yaml
    python scripts/compare.py --config=configs/flights.yaml --group=day_of_year --seeds=1,2,3

The answer to "should I use this?": metrics on the test rows, the wall time of each, and the 95%
interval of each difference by a paired bootstrap. All other flags are the trainer's; the runs go to
runs/<config>-compare, or to --job_dir.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trainer.outcome import exit_code_of
from trainer.quick_imports import quick_imports


def run() -> None:
    """Import TensorFlow as the trainer does, and run."""
    # Threads of LightGBM that wait for each other sleep. By default they spin, and where another
    # process has the core the others burn theirs: 30 trees of 80,000 rows took 19 s of a busy
    # 2-core machine instead of 2.2, and a search of 20 trials an hour (November 2026).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with quick_imports():
        from trainer.compare import comparison

    comparison.main(sys.argv[1:], os.environ)


if __name__ == "__main__":
    sys.exit(exit_code_of(run))
