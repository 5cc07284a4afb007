"""The tuning study that goes with a config: that of configs/tuning_default.yaml for its table.

Imports the standard library only.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

# A batch should leave so many steps in an epoch.
_LEAST_STEPS = 8
_BATCH_SIZES = (256, 512, 1024, 2048)

_TEXT = """\
# A search over all main settings for {config_path}: both learning rates, size, regularisation,
# batch.
#
# On this machine, at no cost:
#
#   python scripts/tune_locally.py {tuning_path} --max_trials=20 -- --config={config_path}
#
# On Vertex AI, with the data on gs:// and configs/names.env edited:
#
#   python scripts/check_job.py {tuning_path}
#   python scripts/submit_tuning.py {tuning_path} --config={config_path}
#
# Cost: trials times a run of the config. Ten trials for each parameter is Google's advice; train
# the config as it stands first, for its defaults are what a study has to beat.

displayName: ${{JOB}}
maxTrialCount: 100
parallelTrialCount: 5
maxFailedTrialCount: 10
studySpec:
  # Bayesian optimisation unless an algorithm is named (RANDOM_SEARCH, GRID_SEARCH).
  algorithm: ALGORITHM_UNSPECIFIED
  # Else a trial counts by its last evaluation, and not by that of the weights it exports.
  measurementSelectionType: BEST_MEASUREMENT
  # Stops a trial that is worse than the median of the others at the same step.
  medianAutomatedStoppingSpec: {{useElapsedDuration: false}}
  metrics: [{{metricId: {metric}, goal: MINIMIZE}}]
  parameters:
  - parameterId: deep_learning_rate
    scaleType: UNIT_LOG_SCALE
    doubleValueSpec: {{minValue: 0.0001, maxValue: 0.01}}
  - parameterId: wide_learning_rate
    scaleType: UNIT_LOG_SCALE
    doubleValueSpec: {{minValue: 0.005, maxValue: 0.5}}
  - parameterId: hidden_units
    categoricalValueSpec: {{values: ["64,32", "128,64", "256,128", "256,128,64", "512,256,128"]}}
  - parameterId: embedding_dim
    categoricalValueSpec: {{values: ["auto", "4", "8", "16"]}}
  - parameterId: dropout
    scaleType: UNIT_LINEAR_SCALE
    doubleValueSpec: {{minValue: 0.0, maxValue: 0.5}}
  - parameterId: weight_decay
    scaleType: UNIT_LOG_SCALE
    doubleValueSpec: {{minValue: 0.0001, maxValue: 0.1}}
  - parameterId: wide_l1
    scaleType: UNIT_LINEAR_SCALE
    discreteValueSpec: {{values: [0, 0.001, 0.01, 0.1]}}
  - parameterId: wide_l2
    scaleType: UNIT_LINEAR_SCALE
    discreteValueSpec: {{values: [0, 0.001, 0.01, 0.1]}}
  - parameterId: ema_decay
    scaleType: UNIT_LINEAR_SCALE
    discreteValueSpec: {{values: [0, 0.99, 0.999]}}
{batch_sizes}trialJobSpec:
  workerPoolSpecs:
  - machineSpec: {{machineType: n2-standard-8}}
    replicaCount: 1
    diskSpec: {{bootDiskType: pd-ssd, bootDiskSizeGb: 100}}
    containerSpec:
      imageUri: ${{IMAGE}}:cpu
      # The service appends each trial's parameters as flags; the last one wins.
      args:
        # submit_tuning.py --config=... uploads another one and names it behind this.
        - "--config={remote_path}"
        - "--baseline=constant"
        - "--report=none"
        # "--cache_dir=gs://${{BUCKET}}/cache" has the rows encoded once for all trials.
  # Each trial writes to its own folder below it: runs/JOB/1, runs/JOB/2 and so on.
  baseOutputDirectory: {{outputUriPrefix: "gs://${{BUCKET}}/runs/${{JOB}}"}}
  scheduling: {{timeout: 3600s}}
"""
_BATCH_TEXT = """\
  - parameterId: batch_size
    scaleType: UNIT_LINEAR_SCALE
    discreteValueSpec: {{values: [{values}]}}
"""


def tuning_text(
    config_path: str,
    tuning_path: str,
    task: Literal["regression", "binary"],
    num_train_rows: int,
) -> str:
    """A job file for tune_locally.py, check_job.py and submit_tuning.py.

    Args:
        config_path: of the config that is tuned.
        tuning_path: where the text will be.
        task: decides on the metric.
        num_train_rows: bound the batch sizes: each leaves 8 steps in an epoch at least.
    """
    sizes = [size for size in _BATCH_SIZES if size * _LEAST_STEPS <= num_train_rows]
    is_remote = config_path.startswith("gs://")
    return _TEXT.format(
        config_path=config_path,
        tuning_path=tuning_path,
        metric="val_rmse" if task == "regression" else "val_log_loss",
        # One size leaves nothing to search.
        batch_sizes=_BATCH_TEXT.format(values=", ".join(map(str, sizes))) if len(sizes) > 1 else "",
        remote_path=config_path
        if is_remote
        else f"gs://${{BUCKET}}/configs/{PurePosixPath(config_path).name}",
    )
