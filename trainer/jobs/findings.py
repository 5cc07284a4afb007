"""What a check of a job file finds: one line each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainer.jobs.job_fields import Path
from trainer.jobs.job_file import JobFile
from trainer.redaction import shown


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that a user should know before submitting.

    Attributes:
        severity: error: the job would be refused, would fail or would lose its results; warning:
            it would run, but perhaps not as meant.
        where: file, line and key, e.g. `configs/job_x.yaml:12 workerPoolSpecs[0].machineSpec`.
        message: what is wrong, expected, received, what to do.
    """

    severity: Literal["error", "warning"]
    where: str
    message: str

    def __str__(self) -> str:
        return shown(f"{self.severity}: {self.where}: {self.message}")


def error(job: JobFile, path: Path, message: str) -> Finding:
    """An error at a key of a job file."""
    return Finding("error", job.where(path), message)


def warning(job: JobFile, path: Path, message: str) -> Finding:
    """A warning at a key of a job file."""
    return Finding("warning", job.where(path), message)
