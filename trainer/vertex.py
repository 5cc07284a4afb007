"""What the environment variables of a Vertex AI training replica say; no TensorFlow.

The one reader of AIP_*, CLOUD_ML_*, CLUSTER_SPEC and TF_CONFIG. It only parses: which setting wins
is decided in `cli.py`. A variable that is empty counts as not set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trainer.errors import UserError, nearest

Role = Literal["chief", "worker", "ps", "reduction", "evaluator"]

# The pools of CLUSTER_SPEC and the task types of TF_CONFIG. Pool 2 holds parameter servers or
# reduction servers; the variables do not say which, the job's image does (`_pool_2_role`).
_ROLES: dict[str, Role] = {
    "workerpool0": "chief",
    "workerpool1": "worker",
    "workerpool2": "ps",
    "workerpool3": "evaluator",
    "chief": "chief",
    "master": "chief",
    "worker": "worker",
    "ps": "ps",
    "evaluator": "evaluator",
}


@dataclass(frozen=True)
class Cluster:
    """The replicas of a job and this one's place among them.

    Attributes:
        task_type: role of this replica.
        task_index: its number within the role, from 0.
        num_workers: replicas that compute gradients: chief and workers.
        addresses: `host:port` of every replica by role; empty for a run outside a cluster.
        is_chief: whether this replica alone writes checkpoints, model, report and tuning metric.
        is_cloud: whether the cluster says that it runs on Vertex AI.
    """

    task_type: Role = "chief"
    task_index: int = 0
    num_workers: int = 1
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_chief: bool = True
    is_cloud: bool = False


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
    cluster: Cluster = Cluster()

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
        UserError: CLUSTER_SPEC or TF_CONFIG is malformed or they contradict each other; the managed
            dataset has a format that cannot be read.

    Source: Vertex AI, "Environment variables for special Cloud Storage directories",
    "Distributed training", "Use managed datasets".
    """
    data_format, uris = _read_data(environ)
    cluster, trial_id = _read_cluster(environ)
    return VertexEnvironment(
        model_dir=environ.get("AIP_MODEL_DIR") or None,
        checkpoint_dir=environ.get("AIP_CHECKPOINT_DIR") or None,
        log_dir=environ.get("AIP_TENSORBOARD_LOG_DIR") or None,
        data_format=data_format,
        train=uris["TRAINING"],
        validation=uris["VALIDATION"],
        test=uris["TEST"],
        trial_id=environ.get("CLOUD_ML_TRIAL_ID") or trial_id,
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
            f"{data_format!r}. Attach a tabular dataset"
        )
    if train is None:
        raise UserError("AIP_DATA_FORMAT is csv but AIP_TRAINING_DATA_URI is not set")
    return "csv", uris


def _read_cluster(environ: Mapping[str, str]) -> tuple[Cluster, str | None]:
    """The cluster and, in a tuning job, the trial.

    CLUSTER_SPEC knows every pool; TF_CONFIG is set for distributed jobs only and knows no
    evaluators, but has the addresses that TensorFlow connects to.
    """
    spec = _parse_cluster("CLUSTER_SPEC", environ)
    tf_config = _parse_cluster("TF_CONFIG", environ)
    if spec is None or tf_config is None:
        return spec or tf_config or (Cluster(), None)
    (ours, trial_id), (theirs, other_trial_id) = spec, tf_config
    if (ours.task_type, ours.task_index) != (theirs.task_type, theirs.task_index):
        raise UserError(
            "CLUSTER_SPEC and TF_CONFIG name different tasks for this replica: "
            f"{ours.task_type} {ours.task_index} and {theirs.task_type} {theirs.task_index}. "
            "Set one of them"
        )
    if ours.num_workers != theirs.num_workers:
        raise UserError(
            "CLUSTER_SPEC and TF_CONFIG name different numbers of chief and workers: "
            f"{ours.num_workers} and {theirs.num_workers}. Set one of them"
        )
    addresses = {**ours.addresses, **theirs.addresses}
    if "reduction" in addresses:
        addresses.pop("ps", None)
    cluster = Cluster(
        task_type=ours.task_type,
        task_index=ours.task_index,
        num_workers=ours.num_workers,
        addresses=addresses,
        is_chief=ours.is_chief,
        is_cloud=ours.is_cloud or theirs.is_cloud,
    )
    return cluster, trial_id or other_trial_id


def _parse_cluster(variable: str, environ: Mapping[str, str]) -> tuple[Cluster, str | None] | None:
    """The cluster and trial that CLUSTER_SPEC or TF_CONFIG states; None where it states nothing."""
    spec = _parse_object(variable, environ.get(variable) or "{}")
    if not spec:
        return None
    task = _member(variable, spec, "task", dict)
    task_type = _member(f"{variable}.task", task, "type", str)
    index = _member(f"{variable}.task", task, "index", int)
    addresses: dict[str, tuple[str, ...]] = {}
    for pool, members in _member(variable, spec, "cluster", dict).items():
        if not isinstance(members, list) or not all(isinstance(m, str) for m in members):
            raise UserError(
                f"{variable}.cluster.{pool} must be a list of host:port; got {members!r}"
            )
        if members:
            addresses[_role(variable, pool, spec)] = tuple(members)
    role = _role(variable, task_type, spec)
    # TF_CONFIG never lists the evaluators, not even to an evaluator.
    num_tasks = len(addresses.get(role, ())) or (index + 1 if role == "evaluator" else 0)
    if not 0 <= index < max(num_tasks, 0 if addresses else 1):
        raise UserError(
            f"{variable}.task is {task_type} {index}, but the cluster has {num_tasks} of that type"
        )
    first = "chief" if "chief" in addresses or not addresses else "worker"
    cluster = Cluster(
        task_type=role,
        task_index=index,
        num_workers=max(1, len(addresses.get("chief", ())) + len(addresses.get("worker", ()))),
        addresses=addresses,
        is_chief=role == first and index == 0,
        is_cloud=spec.get("environment") == "cloud",
    )
    trial = task.get("trial")
    return cluster, str(trial) if trial not in (None, "") else None


def _parse_object(variable: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{variable} is not valid JSON: {error.msg} at character {error.pos}; received "
            f"{text[:80]!r}"
        ) from error
    if not isinstance(value, dict):
        raise UserError(f"{variable} must be a JSON object; received {text[:80]!r}")
    return value


def _member(owner: str, values: dict[str, Any], key: str, kind: type) -> Any:
    """`values[key]`, which must be there and of that JSON type; "0" passes for an integer."""
    if key not in values:
        raise UserError(
            f"{owner} lacks the key {key!r}; it has {', '.join(sorted(values)) or 'none'}"
        )
    value = values[key]
    if kind is int and isinstance(value, str) and value.isdecimal():
        value = int(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        names = {dict: "a JSON object", str: "a text", int: "a whole number"}
        raise UserError(f"{owner}.{key} must be {names[kind]}; received {value!r}")
    return value


def _role(variable: str, pool: str, spec: dict[str, Any]) -> Role:
    if pool not in _ROLES:
        raise UserError(
            f"{variable} names the unknown task type {pool!r}{nearest(pool, _ROLES)}; "
            f"valid: {', '.join(_ROLES)}"
        )
    return _pool_2_role(spec) if pool == "workerpool2" else _ROLES[pool]


def _pool_2_role(spec: dict[str, Any]) -> Role:
    """Give reduction where the job's third pool runs Google's reduction server image, else ps."""
    job = spec.get("job")
    if isinstance(job, dict):
        pools = job.get("workerPoolSpecs") or job.get("worker_pool_specs") or []
        if isinstance(pools, list) and "reductionserver" in json.dumps(pools[2:3]):
            return "reduction"
    return "ps"
