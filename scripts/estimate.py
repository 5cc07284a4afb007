"""Say how long a run takes and what it costs, from two short runs on this machine.

    python scripts/estimate.py --config=my.yaml --rows=10e6 --epochs=3
    python scripts/estimate.py --config=my.yaml --rows=10e6 --machines=2 --price_per_hour=0.40

The price is yours to type in. Takes one to three minutes; --help lists all options.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trainer.jobs import estimate
from trainer.outcome import exit_code_of

if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: estimate.main(sys.argv[1:], os.environ)))
