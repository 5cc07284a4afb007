"""Find what is wrong with job files before submitting them; offline, in seconds.

    python scripts/check_job.py configs/job_cpu.yaml
    python scripts/check_job.py configs/*.yaml --names=configs/names.env --offline

Prints a line for each finding, then a summary; exits 2 when there is an error.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trainer.jobs import check
from trainer.outcome import exit_code_of

if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: check.main(sys.argv[1:], os.environ)))
