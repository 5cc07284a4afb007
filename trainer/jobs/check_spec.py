"""Checks of a job as the API sees it: fields, scheduling, resource names, places.

`repair` comes first: everything after it reads the job as it was probably meant, so that a
misspelt key is one finding and not five. What the pools hold is judged in `check_pools.py`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

from trainer.jobs.findings import Finding, error, warning
from trainer.jobs.job_fields import Path, find_field_errors, message_class
from trainer.jobs.job_file import JobFile

# Fields of the CustomJob around the spec, which gcloud takes as flags.
_FLAG_OF_FIELD = {
    "displayName": "--display-name",
    "display_name": "--display-name",
    "labels": "--labels",
    "encryptionSpec": "--kms-key",
}
_WRAPPERS = ("jobSpec", "job_spec", "customJobSpec")
_LONGEST_TIMEOUT_SECONDS = 7 * 86400
_DEPRECATED_STRATEGIES = {"ON_DEMAND": "STANDARD", "LOW_COST": "SPOT"}
_TENSORBOARD = re.compile(r"projects/[^/]+/locations/([^/]+)/tensorboards/\d+")
# Field -> what its value looks like, as a pattern and in words.
_SHAPES = {
    "serviceAccount": (
        r"[^@\s]+@[^@\s]+\.[^@\s]+",
        "the account's e-mail address, NAME@PROJECT.iam.gserviceaccount.com",
    ),
    "network": (
        r"projects/\d+/global/networks/[^/]+",
        "projects/PROJECT_NUMBER/global/networks/NAME",
    ),
    "persistentResourceId": (
        r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?",
        "the resource's ID (lower-case letters, digits, dashes), not its name",
    ),
}
_REGION = re.compile(r"[a-z]+-[a-z]+\d+")
# A bucket's name; in ours there are no dots, which only verified domains may have.
_GS_FOLDER = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/.*)?")


def repair(job: JobFile) -> tuple[list[Finding], JobFile]:
    """Everything that the API's messages would refuse, and the job as it was probably meant."""
    findings: list[Finding] = []
    values = dict(job.values)
    if job.kind == "custom":
        values = _unwrap(job, values, findings)
    if job.kind == "tuning":
        for key in ("studySpec", "trialJobSpec"):
            if not any(_plain(key) == _plain(str(found)) for found in values):
                findings.append(
                    error(
                        job,
                        (key,),
                        f"{key} is missing; a tuning job has studySpec and "
                        "trialJobSpec, the latter with workerPoolSpecs",
                    )
                )
    errors, repaired = find_field_errors(values, message_class(job.kind).DESCRIPTOR)
    findings += [error(job, found.path, found.message) for found in errors]
    return findings, dataclasses.replace(job, values=repaired)


def check_spec(job: JobFile, names: Mapping[str, str]) -> Iterator[Finding]:
    """Findings about everything but the pools and the study.

    Args:
        job: after `repair`.
        names: REGION is compared with what the job names.
    """
    yield from _check_region(job, names)
    yield from _check_output(job)
    yield from _check_scheduling(job)
    yield from _check_identities(job, names.get("REGION", ""))
    if job.kind == "tuning":
        yield from _check_names(job)


def _unwrap(job: JobFile, values: dict[str, Any], findings: list[Finding]) -> dict[str, Any]:
    """The spec of a file that holds a whole CustomJob, or one field of it."""
    for key in _WRAPPERS:
        if isinstance(values.get(key), dict):
            findings.append(
                error(
                    job,
                    (key,),
                    "the file of a custom job is the spec itself; gcloud would "
                    f"forward {key} unread. Remove the line and unindent what is below it",
                )
            )
            inner = {**values, **values[key]}
            return {k: v for k, v in inner.items() if k != key and k not in _FLAG_OF_FIELD}
    for key, flag in _FLAG_OF_FIELD.items():
        if key in values:
            del values[key]
            findings.append(
                error(
                    job,
                    (key,),
                    f"no field of a custom job's file; pass {flag} to gcloud "
                    "(scripts/submit_job.py sets names and labels itself)",
                )
            )
    return values


def _check_region(job: JobFile, names: Mapping[str, str]) -> Iterator[Finding]:
    region = names.get("REGION", "")
    if region and not _REGION.fullmatch(region):
        zone = re.fullmatch(r"([a-z]+-[a-z]+\d+)-[a-z]", region)
        advice = f"; {region} is a zone, use {zone[1]}" if zone else ", such as us-central1"
        yield error(job, (), f"REGION must be a region{advice}; received {region!r}")


def _check_output(job: JobFile) -> Iterator[Finding]:
    path = (*job.spec_path, "baseOutputDirectory")
    arguments = [arg.split("=")[0] for arg in job.trainer_args]
    if job.output_uri is None:
        places = {"--job_dir", "--model_dir"} & set(arguments)
        if not places and any(pool.runs_trainer for pool in job.pools):
            yield error(
                job,
                path,
                "is missing: without it there is no AIP_MODEL_DIR and the results are lost with "
                "the machine. Add {outputUriPrefix: gs://${BUCKET}/runs/${JOB}}",
            )
        return
    path = (*path, "outputUriPrefix")
    if not _GS_FOLDER.fullmatch(job.output_uri):
        yield error(job, path, f"must be gs://BUCKET/FOLDER; received {job.output_uri!r}")
    elif job.output_uri.count("/", 5) == 0 or job.output_uri.rstrip("/").count("/") == 2:
        yield warning(
            job,
            path,
            "is a whole bucket: every job would write over the last one's model. Add "
            "a folder of its own, e.g. /runs/${JOB}",
        )


def _check_scheduling(job: JobFile) -> Iterator[Finding]:
    path: Path = (*job.spec_path, "scheduling")
    scheduling = job.job_spec.get("scheduling", {})
    timeout = scheduling.get("timeout")
    strategy = scheduling.get("strategy", "STANDARD")
    if timeout is None:
        yield warning(
            job,
            (*path, "timeout"),
            "is missing: a job that hangs is billed for 7 days. Add scheduling: {timeout: 7200s}",
        )
    elif _seconds(timeout) <= 0:
        yield error(job, (*path, "timeout"), f"must be above 0; received {timeout}")
    elif strategy == "FLEX_START" and _seconds(timeout) > _LONGEST_TIMEOUT_SECONDS:
        yield error(job, (*path, "timeout"), f"FLEX_START runs 604800s at most; got {timeout}")
    if strategy in _DEPRECATED_STRATEGIES:
        new = _DEPRECATED_STRATEGIES[strategy]
        yield warning(job, (*path, "strategy"), f"{strategy} is deprecated; write {new}")
    if "maxWaitDuration" in scheduling and strategy != "FLEX_START":
        yield warning(
            job,
            (*path, "maxWaitDuration"),
            f"has an effect with strategy FLEX_START only; the strategy is {strategy}",
        )
    if strategy == "SPOT" and scheduling.get("disableRetries"):
        yield error(
            job,
            (*path, "disableRetries"),
            "keeps a preempted SPOT job from being started again; "
            "remove it, the trainer goes on from its checkpoint",
        )
    yield from _check_restart(job, path, scheduling)


def _check_restart(job: JobFile, path: Path, scheduling: Mapping[str, Any]) -> Iterator[Finding]:
    """Synchronous replicas cannot go on with one that came back empty."""
    training = [pool for pool in job.pools if pool.role in ("chief", "worker")]
    is_synchronous = (
        all(pool.role != "ps" or not pool.replicas for pool in job.pools)
        and sum(pool.replicas for pool in training) > 1
    )
    if not is_synchronous:
        return
    key = (*path, "restartJobOnWorkerRestart")
    if scheduling.get("disableRetries"):
        yield error(
            job,
            (*path, "disableRetries"),
            "forces restartJobOnWorkerRestart to false, which "
            "several synchronous workers need to be true; remove it",
        )
    elif not scheduling.get("restartJobOnWorkerRestart"):
        yield error(
            job,
            key,
            "must be true with several synchronous workers: the others wait for ever "
            "for one that is restarted alone",
        )


def _check_identities(job: JobFile, region: str) -> Iterator[Finding]:
    spec, at = job.job_spec, job.spec_path
    for key, (pattern, meaning) in _SHAPES.items():
        value = spec.get(key)
        if value is not None and not re.fullmatch(pattern, value):
            yield error(job, (*at, key), f"must be {meaning}; received {value!r}")
    tensorboard = spec.get("tensorboard")
    if tensorboard is None:
        return
    if spec.get("serviceAccount") is None:
        yield error(
            job,
            (*at, "tensorboard"),
            "needs a serviceAccount, which writes the logs; add "
            "serviceAccount: NAME@PROJECT.iam.gserviceaccount.com",
        )
    match = _TENSORBOARD.fullmatch(tensorboard)
    if match is None:
        yield error(
            job,
            (*at, "tensorboard"),
            "must be projects/PROJECT/locations/REGION/tensorboards"
            f"/NUMBER, not a display name; received {tensorboard!r}. See gcloud ai "
            "tensorboards list",
        )
    elif region and match[1] != region:
        yield error(
            job,
            (*at, "tensorboard"),
            f"is in {match[1]}, the job runs in {region}; they must be in one region",
        )


def _check_names(job: JobFile) -> Iterator[Finding]:
    """Display name and labels of a tuning job."""
    name = job.values.get("displayName")
    if name is not None and not 0 < len(name) <= 128:
        yield error(job, ("displayName",), f"must have 1 to 128 characters; it has {len(name)}")
    labels = job.values.get("labels", {})
    if len(labels) > 64:
        yield error(job, ("labels",), f"at most 64 labels; received {len(labels)}")
    for key, value in labels.items():
        for part in (key, value):
            if len(part) > 63 or re.search(r"[^\w-]", part) or part != part.lower():
                yield error(
                    job,
                    ("labels", key),
                    "keys and values have lower-case letters, digits, _ and "
                    f"-, at most 63; received {part!r}",
                )
    if labels and any(not re.match(r"[^\W\d_]", key) for key in labels):
        yield error(job, ("labels",), "the key of a label must begin with a letter")


def _seconds(duration: str) -> float:
    """The seconds of a duration as the API writes it, e.g. 7200s."""
    return float(duration.removesuffix("s"))


def _plain(key: str) -> str:
    return key.replace("_", "").lower()
