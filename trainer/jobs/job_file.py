"""Job files: the YAML that `gcloud ai custom-jobs` and `hp-tuning-jobs create --config` take.

Reads a file, puts in the names that a user edits, and gives its pools, its trainer's arguments and
the line of every key. Whether the job is a good one is judged in `check.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import PurePath
from typing import Any, Literal

from trainer import storage
from trainer.cluster import Role
from trainer.errors import UserError, nearest
from trainer.jobs.job_fields import Path, dotted, find_field_errors, message_class
from trainer.jobs.job_yaml import key_lines, load_job_yaml

NAMES = ("PROJECT", "REGION", "BUCKET", "IMAGE", "JOB")
# Of the option --names, whose default is `default_names_path`.
NAMES_HELP = (
    "file with PROJECT=, REGION=, BUCKET= and IMAGE=; default: names.env beside the job file, or "
    "else configs/names.env of this checkout"
)

_TRAINER_MODULE = "trainer.task"
_NAMES_OF_CHECKOUT = os.path.join(*PurePath(__file__).parts[:-3], "configs", "names.env")
_POOL_ROLES: tuple[Role, ...] = ("chief", "worker", "ps", "evaluator")


@dataclass(frozen=True)
class Pool:
    """One entry of workerPoolSpecs; None, () or 0 where the file says nothing."""

    index: int
    replicas: int = 0
    machine_type: str | None = None
    accelerator_type: str | None = None
    accelerator_count: int = 0
    tpu_topology: str | None = None
    disk_gb: int | None = None
    image: str | None = None
    package_uris: tuple[str, ...] = ()
    module: str | None = None
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_reduction_server(self) -> bool:
        """Whether it runs Google's reduction server, which takes none of our flags."""
        return "reductionserver" in (self.image or "")

    @property
    def runs_trainer(self) -> bool:
        """Whether its replicas run this package: by module, by entry point or by command."""
        if self.module is not None:
            return self.module == _TRAINER_MODULE
        if self.image is None or self.is_reduction_server:
            return False
        return not self.command or " ".join(self.command).endswith(f"-m {_TRAINER_MODULE}")

    @property
    def role(self) -> Role:
        """What its replicas are told to be; Vertex AI knows pools by their number."""
        if self.is_reduction_server:
            return "reduction"
        return _POOL_ROLES[min(self.index, len(_POOL_ROLES) - 1)]


@dataclass(frozen=True)
class JobFile:
    """A job file after substitution.

    Attributes:
        path: as the user wrote it.
        kind: custom, a CustomJobSpec; tuning, a HyperparameterTuningJob.
        text: the YAML with all names put in; its lines are those of the file.
        values: what the YAML says, read as gcloud reads it (YAML 1.1).
    """

    path: str
    kind: Literal["custom", "tuning"]
    text: str
    values: dict[str, Any]

    @property
    def spec_path(self) -> Path:
        """Where the CustomJobSpec stands."""
        return ("trialJobSpec",) if self.kind == "tuning" else ()

    @property
    def job_spec(self) -> dict[str, Any]:
        """The CustomJobSpec: of the job, or of each trial."""
        return _mapping(self.values.get("trialJobSpec") if self.kind == "tuning" else self.values)

    @property
    def study(self) -> dict[str, Any] | None:
        """The studySpec of a tuning job."""
        return _mapping(self.values.get("studySpec")) if self.kind == "tuning" else None

    @property
    def pools(self) -> tuple[Pool, ...]:
        """All pools, the skipped ones among them; a lone mapping is one pool, as for gcloud."""
        pools = self.job_spec.get("workerPoolSpecs")
        listed = [pools] if isinstance(pools, dict) else _list(pools)
        return tuple(_make_pool(index, _mapping(pool)) for index, pool in enumerate(listed))

    @property
    def output_uri(self) -> str | None:
        """baseOutputDirectory, from which Vertex AI makes AIP_MODEL_DIR."""
        uri = _mapping(self.job_spec.get("baseOutputDirectory")).get("outputUriPrefix")
        return None if uri is None else str(uri)

    @property
    def trainer_args(self) -> tuple[str, ...]:
        """The arguments of the first pool."""
        pools = self.pools
        return pools[0].args if pools else ()

    def to_message(self) -> Any:
        """The CustomJobSpec or HyperparameterTuningJob (protobuf) that the file describes.

        Raises:
            UserError: a field that the API does not have, or a value that it does not take.
        """
        from google.protobuf import json_format

        kind = message_class(self.kind)
        errors, _ = find_field_errors(self.values, kind.DESCRIPTOR)
        if errors:
            raise UserError(f"{self.where(errors[0].path)}: {errors[0].message}")
        try:
            return json_format.ParseDict(self.values, kind())
        except json_format.ParseError as error:
            raise UserError(f"{self.path}: {error}") from error

    def line_of(self, path: Path) -> int:
        """The line of a key or item, from 1; of the nearest one above it where it is absent."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def where(self, path: Path) -> str:
        """A place as messages name it: `configs/job_cpu.yaml:12 workerPoolSpecs[0].env`."""
        return f"{self.path}:{self.line_of(path)} {dotted(path)}".rstrip()

    @cached_property
    def _lines(self) -> Mapping[Path, int]:
        return key_lines(self.text)


def default_names_path(job_path: str = "") -> str | None:
    """The file of names where a user gives none: names.env beside the job file, or the checkout's.

    None where neither is there.
    """
    beside = [os.path.join(os.path.dirname(job_path), "names.env")] if job_path else []
    return next(filter(os.path.isfile, [*beside, _NAMES_OF_CHECKOUT]), None)


def read_names(path: str) -> dict[str, str]:
    """The names of a file of `KEY=value` lines that a shell can source.

    A value may be quoted, and may use an earlier name: `IMAGE=docker.pkg.dev/$PROJECT/trainer:1`.

    Raises:
        UserError: a line that is no `KEY=value`, an unknown name, a bucket with gs://.
    """
    names: dict[str, str] = {}
    for number, line in enumerate(storage.read_text(path).splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{path}:{number}"
        match = re.fullmatch(
            r"""\s*(?:export\s+)?(\w+)=("[^"]*"|'[^']*'|[^\s"'#]*)\s*(?:\s#.*)?""", line
        )
        if match is None:
            raise UserError(
                f"{where} must be NAME=value without spaces around =; received {line.strip()!r}"
            )
        name, value = match[1], match[2]
        if name not in NAMES:
            raise UserError(
                f"{where}: unknown name {name!r}{nearest(name, NAMES)}; valid: {', '.join(NAMES)}"
            )
        if not value.startswith("'"):
            value = _expand(value, names, where)
        names[name] = value.strip("\"'")
        if name == "BUCKET" and not re.fullmatch(r"[a-z0-9._-]*", names[name]):
            raise UserError(
                f"{where}: BUCKET must be the bare name of a bucket, without gs:// and folders; "
                f"received {names[name]!r}"
            )
    return names


def job_name(path: str, now: datetime, given: str | None = None) -> str:
    """The display name of one submission: the given one, or the file's name and the time.

    >>> job_name("configs/job_cpu.yaml", datetime(2026, 11, 21, 10, 15, 30))
    'job_cpu_20261121_101530'

    Raises:
        UserError: the given one could not be a folder's.
    """
    if given:
        # Here and in the bucket a folder gets this name, which must not lead elsewhere.
        if not re.fullmatch(r"[a-z0-9_-]{1,128}", given):
            raise UserError(f"--name must be 1 to 128 of a-z, 0-9, _ and -; received {given!r}")
        return given
    stem = re.sub(r"[^a-z0-9_-]", "_", PurePath(path).stem.lower())
    return f"{stem}_{now:%Y%m%d_%H%M%S}"


def substitute(text: str, names: Mapping[str, str], path: str) -> str:
    """The text with every `${NAME}` replaced, as `envsubst` does it; lines stay lines.

    Comments may show other placeholders.

    Raises:
        UserError: a placeholder without a value, or a name written `$NAME`.
    """
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        is_comment = line.lstrip().startswith("#")
        for name in re.findall(r"\$\{(\w*)\}", line):
            if names.get(name):
                line = line.replace(f"${{{name}}}", names[name])
            elif not is_comment:
                known = (
                    "" if name in NAMES else f"{nearest(name, NAMES)}; valid: " + ", ".join(NAMES)
                )
                advice = known or f"; set {name} in configs/names.env"
                raise UserError(f"{path}:{number}: ${{{name}}} has no value{advice}")
        bare = re.search(rf"\$({'|'.join(NAMES)})\b", line)
        if bare and not is_comment:
            raise UserError(f"{path}:{number}: write ${{{bare[1]}}} instead of ${bare[1]}")
        lines[number - 1] = line
    return "\n".join(lines)


def read_job_file(path: str, names: Mapping[str, str]) -> JobFile:
    """The job that a file describes.

    Raises:
        UserError: the file is absent, is no YAML mapping, has a key twice, or uses a placeholder
            without a value.
    """
    text = substitute(storage.read_text(path), names, path)
    values = load_job_yaml(text, path)
    of_tuning = {"studySpec", "trialJobSpec", "study_spec", "trial_job_spec"}
    return JobFile(path, "tuning" if of_tuning & set(values) else "custom", text, values)


def _expand(value: str, names: Mapping[str, str], where: str) -> str:
    """The value with earlier names put in, as a shell does it."""

    def known(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in names:
            raise UserError(f"{where}: ${name} is not set above this line")
        return names[name]

    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", known, value)


def _make_pool(index: int, spec: dict[str, Any]) -> Pool:
    machine = _mapping(spec.get("machineSpec"))
    package = _mapping(spec.get("pythonPackageSpec"))
    task = package or _mapping(spec.get("containerSpec"))
    disk = _mapping(spec.get("diskSpec")).get("bootDiskSizeGb")
    return Pool(
        index=index,
        replicas=_count(spec.get("replicaCount")),
        machine_type=_text(machine.get("machineType")),
        accelerator_type=_text(machine.get("acceleratorType")),
        accelerator_count=_count(machine.get("acceleratorCount")),
        tpu_topology=_text(machine.get("tpuTopology")),
        disk_gb=None if disk is None else _count(disk),
        image=_text(task.get("executorImageUri" if package else "imageUri")),
        package_uris=tuple(map(str, _list(package.get("packageUris")))),
        module=_text(package.get("pythonModule")),
        command=tuple(map(str, _list(task.get("command")))),
        args=tuple(map(str, _list(task.get("args")))),
        env={
            str(item.get("name")): str(item.get("value", ""))
            for item in _list(task.get("env"))
            if isinstance(item, dict)
        },
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _count(value: Any) -> int:
    """A count as the API reads it, from 2 or "2"; 0 where it is none."""
    text = str(value)
    return int(text) if text.isdecimal() else 0
