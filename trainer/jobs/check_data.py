"""Checks of the files and the bucket that a job names, as far as they can be read from here.

A question to Cloud Storage gets a short time; when the first is not answered none is asked again,
so that a check without a network stays quick.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from trainer import cloud_files, storage
from trainer.columns import EmbeddedColumn
from trainer.config import Config
from trainer.data_files import SAMPLE_PREFIX
from trainer.errors import UserError
from trainer.jobs.data_sizes import estimate_rows, row_bytes, table_bytes
from trainer.jobs.findings import Finding, error, warning
from trainer.jobs.job_fields import Path
from trainer.jobs.job_file import JobFile
from trainer.jobs.machines import find_machine

Answer = TypeVar("Answer")

_SECONDS_TO_ANSWER = 2.5
# The service's own agents take up to 40% of a small machine. Source: Vertex AI, troubleshooting.
_USABLE_MEMORY = 0.6
_DEFAULT_DISK_GB = 100
_GIGABYTE = 1e9


class Cloud:
    """Cloud Storage as long as it answers.

    Attributes:
        refusal: why nothing more is asked; None while it answers.
    """

    def __init__(self, is_allowed: bool = True, seconds: float = _SECONDS_TO_ANSWER):
        """A cloud that is never asked where that is not allowed."""
        self.is_allowed = is_allowed
        self.refusal: str | None = None
        self._seconds = seconds

    def ask(self, question: Callable[[], Answer]) -> Answer | None:
        """The answer; None where there is none in time or the account may not ask.

        Raises:
            UserError: Cloud Storage answered that there is no such object.
        """
        if not self.is_allowed or self.refusal is not None:
            return None
        importlib.import_module("google.cloud.storage")  # takes its time, but is no waiting
        answers: list[Answer] = []
        errors: list[Exception] = []

        def run() -> None:
            try:
                answers.append(question())
            except Exception as failure:  # noqa: BLE001  # looked at below, in the caller's thread
                errors.append(failure)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(self._seconds)
        if answers:
            return answers[0]
        if errors and _is_absence(errors[0]):
            raise UserError(str(errors[0])) from errors[0]
        reason = " ".join(str(errors[0]).split())[:120] if errors else "no answer in time"
        self.refusal = reason
        return None


def cloud_path(path: str) -> str:
    """The gs:// path of a /gcs/ mount, which only the machines of a job have.

    >>> cloud_path("/gcs/bucket/a.csv"), cloud_path("a.csv")
    ('gs://bucket/a.csv', 'a.csv')
    """
    return f"gs://{path.removeprefix('/gcs/')}" if path.startswith("/gcs/") else path


def check_bucket(job: JobFile, names: Mapping[str, str], cloud: Cloud) -> Iterator[Finding]:
    """Whether the bucket of the results is there, in the job's region."""
    uri, region = job.output_uri, names.get("REGION", "").lower()
    if uri is None or not storage.is_remote(uri) or not region:
        return
    path: Path = (*job.spec_path, "baseOutputDirectory", "outputUriPrefix")
    name = uri.removeprefix("gs://").split("/")[0]
    try:
        location = cloud.ask(lambda: _location(name))
    except UserError:
        yield error(
            job,
            path,
            f"there is no bucket {name}; gcloud storage buckets create "
            f"gs://{name} --location={region}",
        )
        return
    if location is None or location == region:
        return
    if "-" in location:
        yield error(
            job,
            path,
            f"the bucket {name} is in {location}, the job runs in {region}; "
            "they must be in one region",
        )
    else:
        yield warning(
            job,
            path,
            f"the bucket {name} is in the multi-region {location}; Vertex AI "
            f"asks for a bucket of the region {region}",
        )


def check_data(job: JobFile, config: Config, cloud: Cloud, path: Path) -> Iterator[Finding]:
    """Whether the files of a run are there, and its machine holds their rows.

    Args:
        job: the job file.
        config: of its trainer.
        cloud: to look at gs:// files.
        path: of the trainer's arguments, where findings are shown.
    """
    files: dict[str, list[str]] = {}
    for part in ("train", "validation", "test"):
        for pattern in getattr(config.data, part):
            if pattern.startswith(SAMPLE_PREFIX):
                continue
            try:
                found = _find(pattern, cloud)
            except UserError as failure:
                yield error(job, path, f"data.{part}: {failure}")
                continue
            if not storage.is_remote(cloud_path(pattern)):
                yield _local_file(job, path, f"data.{part}", pattern)
            files.setdefault(part, []).extend(found or [])
    for key in ("statistics_path",):
        value = getattr(config.data, key)
        if value and not storage.is_remote(cloud_path(value)):
            yield _local_file(job, path, f"data.{key}", value)
    for name, column in config.of_kind(EmbeddedColumn).items():
        model = column.init_from.model if column.init_from is not None else None
        if model and not storage.is_remote(cloud_path(model)):
            yield _local_file(job, path, f"columns.{name}.init_from.model", model)
    yield from _check_memory(job, config, cloud, path, [*files.get("train", ())])


def _check_memory(
    job: JobFile, config: Config, cloud: Cloud, path: Path, train_files: list[str]
) -> Iterator[Finding]:
    """Whether tables and encoded rows fit the memory and the disk of the chief's machine."""
    chief = job.pools[0]
    machine = find_machine(chief.machine_type or "")
    if machine is None or machine.memory_gb is None:
        return
    usable_gb = machine.memory_gb * _USABLE_MEMORY
    room = f"{machine.name} has {machine.memory_gb:g} GB, some {usable_gb:.0f} of them usable"
    at: Path = (*job.spec_path, "workerPoolSpecs", 0, "machineSpec")
    table_gb = table_bytes(config) / _GIGABYTE
    servers = [pool for pool in job.pools if pool.role == "ps"]
    if table_gb > usable_gb and not servers:
        yield error(
            job,
            at,
            f"cannot hold the model: its tables take about {table_gb:.0f} GB "
            f"with the optimizer, {room}; lower bins and hash_buckets, or use n2-highmem",
        )
    budget_gb = config.data.memory_budget_mb / 1000
    if config.data.storage == "auto" and budget_gb > usable_gb:
        yield error(
            job,
            at,
            f"data.memory_budget_mb allows {budget_gb:.0f} GB of rows, {room}; "
            "lower it, or take a larger machine",
        )
    rows = (
        cloud.ask(lambda: estimate_rows(train_files))
        if _any_remote(train_files)
        else (estimate_rows(train_files))
    )
    rows_gb = (rows or 0) * row_bytes(config) / _GIGABYTE
    if config.data.limit_rows:
        rows_gb = min(rows_gb, config.data.limit_rows * row_bytes(config) / _GIGABYTE)
    about = f"about {rows_gb:.0f} GB for {(rows or 0) / 1e6:.0f} million rows"
    if config.data.storage == "memory" and rows_gb > usable_gb:
        yield error(
            job,
            at,
            f"cannot hold the encoded rows in memory: {about}, {room}; use "
            "--storage=auto, or take a larger machine",
        )
    disk_gb = chief.disk_gb or _DEFAULT_DISK_GB
    on_disk = config.data.storage == "disk" or (
        config.data.storage == "auto" and budget_gb < rows_gb <= config.data.disk_budget_mb / 1000
    )
    if on_disk and rows_gb > disk_gb * _USABLE_MEMORY:
        yield error(
            job,
            at,
            f"the scratch files of the encoded rows take {about}, the disk has "
            f"{disk_gb} GB; raise diskSpec.bootDiskSizeGb or use --storage=stream",
        )


def _find(pattern: str, cloud: Cloud) -> list[str] | None:
    """The files of a pattern; None where they cannot be looked for from here."""
    remote = cloud_path(pattern)
    if storage.is_remote(remote):
        return cloud.ask(lambda: storage.list_files(remote))
    try:
        return storage.list_files(pattern)
    except UserError:
        return None  # said to be local, which is reported whether or not it is here


def _local_file(job: JobFile, path: Path, key: str, value: str) -> Finding:
    """A path that the machines of the job do not have, unless the image brings it."""
    message = f"{key} {value} is a path of this machine, not of the job's; copy it to gs://"
    if job.pools[0].module is not None or not value.startswith("/"):
        return error(job, path, message)
    return warning(job, path, f"{message}, unless the image has it")


def _any_remote(files: list[str]) -> bool:
    return any(storage.is_remote(file) for file in files)


def _location(bucket: str) -> str:
    found = cloud_files.client().get_bucket(bucket, timeout=_SECONDS_TO_ANSWER, retry=None)
    return str(found.location or "").lower()


def _is_absence(failure: Exception) -> bool:
    """Whether Cloud Storage answered, and the answer was that there is nothing."""
    cause = failure.__cause__ if isinstance(failure, UserError) else failure
    if cause is None or isinstance(cause, FileNotFoundError):
        return True
    return type(cause).__name__ == "NotFound"
