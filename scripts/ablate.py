"""Take the pieces of the recipe out one by one and say what each brings on your rows.

    python scripts/ablate.py --config=configs/flights.yaml --group=day_of_year --seeds=1,2,3
    python scripts/ablate.py --config=my.yaml --pieces=no_average,no_piecewise

Each line is the recipe with one change, with the 95% interval of the difference (paired bootstrap).
All other flags are the trainer's; --cache_dir=FOLDER spares the changed runs the encoding.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trainer.outcome import exit_code_of
from trainer.quick_imports import quick_imports


def run() -> None:
    """Import TensorFlow as the trainer does, and run."""
    with quick_imports():
        from trainer.compare import ablation

    ablation.main(sys.argv[1:], os.environ)


if __name__ == "__main__":
    sys.exit(exit_code_of(run))
