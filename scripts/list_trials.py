"""List the trials of a tuning job on Vertex AI, best first.

    python scripts/list_trials.py 1234567890123456789
    python scripts/list_trials.py projects/P/locations/R/hyperparameterTuningJobs/123

A bare number is looked up in the project and region of configs/names.env.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trainer.jobs import cloud_trials
from trainer.outcome import exit_code_of

if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: cloud_trials.main(sys.argv[1:], os.environ)))
