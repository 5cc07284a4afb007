"""Checks of the files and the bucket that a job names, as far as they can be read from here.

A question to Cloud Storage gets a short time; when the first is not answered none is asked again,
so that a check without a network stays quick. Sizes are estimates from the first rows.
"""

from __future__ import annotations

import importlib
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from trainer import cloud_files, storage
from trainer.bag_columns import MOST_AUTO_TOKENS, MOST_AUTO_VALUES
from trainer.column_base import embedding_width
from trainer.columns import (
    Boolean,
    Bucketized,
    Categorical,
    Datetime,
    EmbeddedColumn,
    Geo,
    Identity,
    MultiHot,
    Numeric,
    Text,
    Vector,
    VocabularyColumn,
)
from trainer.config import Config
from trainer.data_files import SAMPLE_PREFIX, format_of
from trainer.errors import UserError
from trainer.jobs.findings import Finding, error, warning
from trainer.jobs.job_fields import Path
from trainer.jobs.job_file import JobFile
from trainer.jobs.machines import find_machine

Answer = TypeVar("Answer")

_SECONDS_TO_ANSWER = 2.5
_HEAD_BYTES = 256 * 1024
_MOST_SIZED_FILES = 20
# The service's own agents take up to 40% of a small machine. Source: Vertex AI, troubleshooting.
_USABLE_MEMORY = 0.6
_DEFAULT_DISK_GB = 100
_GIGABYTE = 1e9
# Bytes of a weight: itself and two slots of its optimizer, float32.
_BYTES_PER_WEIGHT = 12


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


def row_bytes(config: Config) -> int:
    """Bytes of an encoded row: 4 for each id and number, for labels and weight.

    Indicators of missing values and zeros, which depend on the data, are left out; columns of
    several values count with the most that they may have.
    """
    label = config.label
    num_labels = len(label.columns) or (len(label.classes) if label.task == "multilabel" else 1)
    words = max(1, num_labels) + 1 + len(config.crosses)
    for column in config.columns.values():
        if isinstance(column, Numeric | Vector):
            size = column.size if isinstance(column, Vector) else 1
            words += size * (1 + (column.buckets != 0))
        elif isinstance(column, Datetime):
            words += len(column.parts) + 2 * len(column.cyclic)
            words += len(column.numbers) * (1 + (column.numeric.buckets != 0))
        elif isinstance(column, Geo):
            words += len(column.outputs) * (1 + (column.numeric.buckets != 0))
        elif isinstance(column, MultiHot):
            words += MOST_AUTO_VALUES if column.max_values == "auto" else column.max_values
        elif isinstance(column, Text):
            words += MOST_AUTO_TOKENS if column.max_tokens == "auto" else column.max_tokens
        elif isinstance(column, Categorical | Identity | Boolean | Bucketized):
            words += 1
    return 4 * words


def table_bytes(config: Config) -> int:
    """Bytes of the tables whose size the config states, with their optimizers' slots."""
    sizes: list[tuple[int, Any, tuple[str, ...]]] = [
        (cross.bins, cross.embedding_dim, cross.towers) for cross in config.crosses
    ]
    for column in config.columns.values():
        if isinstance(column, VocabularyColumn):
            size = (column.hash_buckets or 0) + column.oov_buckets
            sizes.append((size, column.embedding_dim, column.towers))
        elif isinstance(column, Text):
            sizes.append((column.hash_buckets, column.embedding_dim, column.towers))
        elif isinstance(column, Identity):
            sizes.append((column.size, column.embedding_dim, column.towers))
    total = 0
    for size, dim, towers in sizes:
        width = embedding_width(size, dim, config.model.embedding_dim)
        total += size * _BYTES_PER_WEIGHT * ("wide" in towers)
        total += size * _BYTES_PER_WEIGHT * width * ("deep" in towers)
    return total


def estimate_rows(files: list[str]) -> int:
    """Rows of some files: Parquet says it, CSV by the length of the first rows."""
    some = files[:_MOST_SIZED_FILES]
    if not some:
        return 0
    return round(sum(_rows_of(file) for file in some) * len(files) / len(some))


def _rows_of(file: str) -> float:
    with storage.open_read(file) as stream:
        if format_of(file, "auto") == "parquet":
            from pyarrow import parquet

            return float(parquet.ParquetFile(stream).metadata.num_rows)
        head = stream.read(_HEAD_BYTES)
    read = len(head)
    if head[:2] == b"\x1f\x8b":
        head = zlib.decompressobj(wbits=31).decompress(head)
    size = int(storage.fingerprint(file).partition("-")[0])
    is_records = format_of(file, "auto") == "tfrecord"
    num_rows = _num_records(head) if is_records else head.count(b"\n")
    return num_rows * size / max(read, 1)


def _num_records(head: bytes) -> float:
    """TFRecords in the first bytes of a file, the last of them in part."""
    num_records, start = 0, 0
    while start + 8 <= len(head):
        # The length, its checksum, as many bytes, their checksum. Source: TensorFlow's manual.
        length = int.from_bytes(head[start : start + 8], "little") + 16
        if start + length > len(head):
            return num_records + (len(head) - start) / length
        start, num_records = start + length, num_records + 1
    return num_records


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
