"""Submit a tuning job to Vertex AI and follow it to its end.

    python scripts/submit_tuning.py configs/tuning_small.yaml
    python scripts/submit_tuning.py configs/tuning_small.yaml --dry_run
    python scripts/submit_tuning.py configs/tuning_small.yaml --config=my.yaml -- --epochs=20

Names come from configs/names.env; --help lists all options. Flags after -- go to the trainer.
When the study has ended it prints the ranked trials and the command that trains the best.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trainer.jobs import submit
from trainer.outcome import exit_code_of

if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: submit.main(sys.argv[1:], os.environ, kind="tuning")))
