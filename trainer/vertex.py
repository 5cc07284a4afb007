"""What the environment variables of a Vertex AI training replica say; no TensorFlow.

The one reader of AIP_* and CLOUD_ML_*; `cluster.py` reads CLUSTER_SPEC and TF_CONFIG. It only
parses: which setting wins is decided in `cli.py`. A variable that is empty counts as not set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from trainer.cluster import Cluster, read_cluster
from trainer.errors import UserError, quoted


@dataclass(frozen=True)
class VertexEnvironment:
    """A replica's environment; None where a variable is not set.

    Attributes:
        model_dir: AIP_MODEL_DIR, the folder that the SavedModel itself goes into.
        checkpoint_dir: AIP_CHECKPOINT_DIR.
        log_dir: AIP_TENSORBOARD_LOG_DIR.
        data_format: AIP_DATA_FORMAT of a managed dataset.
        train: pattern of the training files of a managed dataset.
        validation: pattern of its validation files.
        test: pattern of its test files.
        trial_id: the trial of a tuning job.
        metric_file: CLOUD_ML_HP_METRIC_FILE, read by the tuning service.
        job_id: CLOUD_ML_JOB_ID.
        project_number: CLOUD_ML_PROJECT_ID, the number of the submitting project.
        cluster: the replicas of the job.
    """

    model_dir: str | None = None
    checkpoint_dir: str | None = None
    log_dir: str | None = None
    data_format: Literal["csv"] | None = None
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    trial_id: str | None = None
    metric_file: str | None = None
    job_id: str | None = None
    project_number: str | None = None
    cluster: Cluster = field(default_factory=Cluster)

    @property
    def is_cloud(self) -> bool:
        """Whether the run is on Vertex AI, where local disks vanish and logs are JSON."""
        return self.cluster.is_cloud or self.project_number is not None

    @property
    def is_distributed_on_vertex(self) -> bool:
        """Whether this is one of several processes of a job on Vertex AI."""
        return self.is_cloud and sum(map(len, self.cluster.addresses.values())) > 1

    @property
    def job_dir(self) -> str | None:
        """The parent of AIP_MODEL_DIR: the job's output folder, or the trial's.

        >>> VertexEnvironment(model_dir="gs://b/runs/7/model/").job_dir
        'gs://b/runs/7'
        """
        return None if self.model_dir is None else self.model_dir.rstrip("/").rpartition("/")[0]


def read_environment(environ: Mapping[str, str]) -> VertexEnvironment:
    """The replica's environment from its variables; all fields None outside Vertex AI.

    Raises:
        UserError: CLUSTER_SPEC or TF_CONFIG is malformed or they contradict each other; the trial's
            name is no name of a folder; the managed dataset has a format that cannot be read.

    Source: Vertex AI, "Environment variables for special Cloud Storage directories",
    "Distributed training", "Use managed datasets".
    """
    data_format, uris = _read_data(environ)
    cluster, trial_id = read_cluster(environ)
    trial_id = environ.get("CLOUD_ML_TRIAL_ID") or trial_id
    if trial_id is not None and not re.fullmatch(r"[\w-]+", trial_id):
        # It names a folder.
        raise UserError(
            f"the trial must be named by letters, digits, - and _; received {quoted(trial_id)} "
            "from CLOUD_ML_TRIAL_ID, CLUSTER_SPEC or TF_CONFIG"
        )
    return VertexEnvironment(
        model_dir=environ.get("AIP_MODEL_DIR") or None,
        checkpoint_dir=environ.get("AIP_CHECKPOINT_DIR") or None,
        log_dir=environ.get("AIP_TENSORBOARD_LOG_DIR") or None,
        data_format=data_format,
        train=uris["TRAINING"],
        validation=uris["VALIDATION"],
        test=uris["TEST"],
        trial_id=trial_id,
        metric_file=environ.get("CLOUD_ML_HP_METRIC_FILE") or None,
        job_id=environ.get("CLOUD_ML_JOB_ID") or None,
        project_number=environ.get("CLOUD_ML_PROJECT_ID") or None,
        cluster=cluster,
    )


def _read_data(
    environ: Mapping[str, str],
) -> tuple[Literal["csv"] | None, dict[str, str | None]]:
    """Format and patterns of the managed dataset; a wildcard such as `training-*` is passed on."""
    data_format = environ.get("AIP_DATA_FORMAT") or None
    uris = {
        part: environ.get(f"AIP_{part}_DATA_URI") or None
        for part in ("TRAINING", "VALIDATION", "TEST")
    }
    train = uris["TRAINING"]
    if data_format == "bigquery" or (train or "").startswith("bq://"):
        table = (
            (train or "bq://PROJECT.DATASET.training").removeprefix("bq://").replace(".", ":", 1)
        )
        raise UserError(
            "AIP_DATA_FORMAT is bigquery; tables are read as files. Export each set to CSV on "
            f"Cloud Storage, e.g. `bq extract --destination_format=CSV '{table}' "
            "'gs://BUCKET/FOLDER/training-*.csv'`, and submit the job without the managed dataset "
            "but with --train='gs://BUCKET/FOLDER/training-*.csv', --validation and --test"
        )
    if data_format is None and train is None:
        return None, uris
    if data_format not in (None, "csv"):
        raise UserError(
            f"AIP_DATA_FORMAT must be csv, the export of a tabular dataset; received "
            f"{quoted(data_format)}. Attach a tabular dataset"
        )
    if train is None:
        raise UserError("AIP_DATA_FORMAT is csv but AIP_TRAINING_DATA_URI is not set")
    return "csv", uris
