"""Run a Vertex AI job file on this machine: every replica a process, gs:// a folder.

python scripts/run_job_locally.py configs/job_workers.yaml [--names=FILE] [--name=NAME]
    [--work_dir=DIR] [--gs_dir=DIR] [--package=SDIST] [-- FLAGS OF THE TRAINER]
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trainer.jobs import cluster_run

if __name__ == "__main__":
    sys.exit(cluster_run.main(sys.argv[1:], os.environ))
