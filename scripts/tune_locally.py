"""Run a Vertex AI tuning job file on this machine: the same studySpec, every trial a real run.

    python scripts/tune_locally.py configs/tuning_small.yaml
    python scripts/tune_locally.py configs/tuning_small.yaml --max_trials=20 -- --epochs=5

Options: --names=FILE --study_dir=DIR --max_trials=N --parallel=N --seed=N --gs_dir=DIR; flags after
-- go to the trainer. The same command goes on with a study that was cut off. It ends with a ranked
table, study.html with plots, best_flags.yaml, trials.json and .csv, and the command that trains the
best.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trainer.jobs import local_tuning
from trainer.outcome import exit_code_of

if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: local_tuning.main(sys.argv[1:], os.environ)))
