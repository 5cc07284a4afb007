"""The preflight of a job file: everything that can be known to be wrong before it is submitted.

gcloud checks nothing of a custom job's file, and a job that is wrong costs minutes of queue before
it says so. Runs in seconds and without a network.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone

from trainer.errors import UserError
from trainer.jobs.check_data import Cloud, check_bucket, check_data
from trainer.jobs.check_metric import check_metric
from trainer.jobs.check_pools import check_pools, task_path
from trainer.jobs.check_run import check_run, read_run
from trainer.jobs.check_spec import check_spec, repair
from trainer.jobs.check_study import check_study
from trainer.jobs.check_tasks import check_tasks
from trainer.jobs.check_trials import check_trials
from trainer.jobs.findings import Finding, warning
from trainer.jobs.job_file import (
    NAMES,
    NAMES_HELP,
    JobFile,
    default_names_path,
    job_name,
    read_job_file,
    read_names,
)
from trainer.redaction import shown


def check_job(
    job: JobFile,
    names: Mapping[str, str],
    *,
    read_data: bool = True,
    uploads: Collection[str] = (),
) -> list[Finding]:
    """Everything that is wrong with a job, or that a user should know; by line.

    Args:
        job: the job file.
        names: PROJECT, REGION and so on, which the job's own places are compared with.
        read_data: whether Cloud Storage may be asked for config, data and bucket. Without an
            answer within seconds that is one warning.
        uploads: local files that --config may name, as they are uploaded before the job starts.
    """
    findings, meant = repair(job)
    cloud = Cloud(is_allowed=read_data)
    findings += check_spec(meant, names)
    findings += check_pools(meant)
    findings += check_tasks(meant, names)
    found, run = read_run(meant, cloud, uploads)
    findings += found
    if run is not None:
        findings += check_run(meant, run)
    if job.kind == "tuning":
        findings += check_study(meant)
        findings += check_metric(meant, run)
        findings += check_trials(meant, run) if run is not None else ()
    if run is not None and run.config is not None:
        path = (*task_path(meant, meant.pools[0]), "args")
        findings += check_data(meant, run.config, cloud, path)
    findings += check_bucket(meant, names, cloud)
    if cloud.refusal is not None:
        message = (
            "bucket, config and data on gs:// were not checked, as Cloud Storage gave no answer: "
            f"{cloud.refusal}"
        )
        findings.append(warning(meant, (), message))
    return sorted(dict.fromkeys(findings), key=_line)


def main(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Check job files and print what is wrong.

    Raises:
        UserError: there is an error in one of them, or a file cannot be read.
    """
    options = _parse(argv)
    num_errors = num_warnings = 0
    for path in options.files:
        try:
            named = _names_of(path, options.names, environ)
            findings = check_job(read_job_file(path, named), named, read_data=not options.offline)
        except UserError as failure:
            print(shown(f"error: {failure}"))
            num_errors += 1
            continue
        for finding in findings:
            print(finding)
        num_errors += sum(finding.severity == "error" for finding in findings)
        num_warnings += sum(finding.severity == "warning" for finding in findings)
    summary = (
        f"{_count(len(options.files), 'job file')}, {_count(num_errors, 'error')}, "
        f"{_count(num_warnings, 'warning')}"
    )
    if num_errors:
        sys.stdout.flush()
        raise UserError(summary)
    print(f"ok: {summary}")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="check_job.py", description="Find what is wrong with job files before submitting them."
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="e.g. configs/job_cpu.yaml")
    parser.add_argument(
        "--names",
        metavar="PATH",
        help=f"{NAMES_HELP}; variables of the environment fill in what is missing",
    )
    parser.add_argument("--offline", action="store_true", help="ask Cloud Storage nothing")
    return parser.parse_args(argv)


def _names_of(path: str, names_path: str | None, environ: Mapping[str, str]) -> dict[str, str]:
    """The names for one job file."""
    found = names_path or default_names_path(path)
    names = {"JOB": job_name(path, datetime.now(timezone.utc))}
    names |= {name: environ[name] for name in NAMES if environ.get(name)}
    return names | read_names(found) if found else names


def _line(finding: Finding) -> tuple[int, str]:
    match = re.search(r":(\d+)(?: |$)", finding.where)
    return int(match[1]) if match else 0, finding.where


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
