"""Checks of what the pools run: images, packages, environment variables, lengths.

Source: Vertex AI, "Prebuilt containers for custom training" and "Supported frameworks" (2026),
CustomJobSpec's own limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from trainer.jobs.check_pools import task_path
from trainer.jobs.findings import Finding, error, warning
from trainer.jobs.job_fields import Path
from trainer.jobs.job_file import JobFile, Pool
from trainer.jobs.machines import find_machine
from trainer.redaction import names_secret

_MOST_ARG_CHARACTERS = 100_000
_MOST_VARIABLES = 100
_MOST_PACKAGES = 100
_OLDEST_TENSORFLOW = (2, 17)
_PREBUILT = re.compile(
    r"(?:us|europe|asia)-docker\.pkg\.dev/vertex-ai/training/tf-(cpu|gpu|tpu)\.(\d+)-(\d+)"
    r"(?:\.(?:py|cp)\d+)?(?::(.+))?"
)
# Of a prebuilt TensorFlow image: the day from which it can no longer be counted on.
_END_OF_AVAILABILITY = {(2, 17): "2026-07-11", (2, 16): "2026-06-28", (2, 15): "2025-10-23"}
_IMAGE = re.compile(
    r"(?:[a-zA-Z0-9.-]+(?::\d+)?/)?[a-z0-9._/-]+(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_GOOGLES_VARIABLE = re.compile(r"AIP_\w+|CLOUD_ML_\w+|CLUSTER_SPEC|TF_CONFIG|TPU_CONFIG")


def check_tasks(job: JobFile, names: Mapping[str, str]) -> Iterator[Finding]:
    """Findings about what each pool of a job that is after `repair` runs."""
    for pool in job.pools:
        values = job.job_spec["workerPoolSpecs"][pool.index]
        if "containerSpec" not in values and "pythonPackageSpec" not in values:
            continue
        path = task_path(job, pool)
        if "pythonPackageSpec" in values:
            yield from _check_package(job, path, pool)
        else:
            yield from _check_container(job, path, pool)
        yield from _check_image_region(job, path, pool, names.get("REGION", ""))
        yield from _check_sizes(job, path, pool)
    if job.pools and not any(pool.runs_trainer for pool in job.pools) and job.pools[0].image:
        yield warning(
            job,
            task_path(job, job.pools[0]),
            "runs another program than trainer.task; its arguments were not checked",
        )


def _check_package(job: JobFile, path: Path, pool: Pool) -> Iterator[Finding]:
    """A package that Google's image installs and runs."""
    image_path = (*path, "executorImageUri")
    if pool.image is None:
        yield error(job, image_path, "is missing; name a prebuilt image of Vertex AI")
    else:
        prebuilt = _PREBUILT.fullmatch(pool.image)
        if prebuilt is not None:
            yield from _check_prebuilt(job, image_path, pool, prebuilt)
        elif "docker.pkg.dev/vertex-ai/" not in pool.image:
            yield error(
                job,
                image_path,
                "must be a prebuilt image of Vertex AI; an image of your own "
                f"goes into containerSpec: {{imageUri: {pool.image}}}",
            )
    if pool.module is None:
        yield error(job, (*path, "pythonModule"), "is missing; write trainer.task")
    elif not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", pool.module):
        yield error(
            job,
            (*path, "pythonModule"),
            f"must be a module as in `python -m`, such as trainer.task; received {pool.module!r}",
        )
    if not 0 < len(pool.package_uris) <= _MOST_PACKAGES:
        number = len(pool.package_uris)
        yield error(
            job,
            (*path, "packageUris"),
            f"must name 1 to {_MOST_PACKAGES} packages; it names "
            f"{number}. scripts/build_package.sh makes ours",
        )
    for index, uri in enumerate(pool.package_uris):
        if not re.fullmatch(r"gs://[^/]+/.+\.(tar\.gz|whl)", uri):
            yield error(
                job,
                (*path, "packageUris", index),
                f"must be gs://BUCKET/....tar.gz or .whl; received {uri!r}",
            )


def _check_prebuilt(
    job: JobFile, path: Path, pool: Pool, prebuilt: re.Match[str]
) -> Iterator[Finding]:
    """Google's TensorFlow images: which still can be used, and on what."""
    kind, version = prebuilt[1], (int(prebuilt[2]), int(prebuilt[3]))
    number = f"{version[0]}.{version[1]}"
    if version < _OLDEST_TENSORFLOW:
        yield error(
            job,
            path,
            f"has TensorFlow {number}; the trainer needs 2.17 or newer. Use "
            "tf-cpu.2-17.py310, or a container (scripts/build_image.sh)",
        )
    elif version not in _END_OF_AVAILABILITY:
        yield error(
            job,
            path,
            f"there is no prebuilt image of TensorFlow {number}; the newest is 2-17. "
            "Use a container (scripts/build_image.sh)",
        )
    else:
        yield warning(
            job,
            path,
            f"Google keeps this image (TensorFlow {number}) available until "
            f"{_END_OF_AVAILABILITY[version]} only; if it cannot be pulled, use a container "
            "(scripts/build_image.sh)",
        )
    if prebuilt[4] not in (None, "latest"):
        yield error(job, path, f"the tag must be latest; received {prebuilt[4]!r}")
    machine = find_machine(pool.machine_type or "")
    fitting = "tpu" if machine and machine.is_tpu else "gpu" if pool.accelerator_type else "cpu"
    if kind != fitting and machine is not None:
        what = {"tpu": "a TPU", "gpu": "GPUs", "cpu": "no accelerator"}[fitting]
        yield error(job, path, f"is made for {kind.upper()}, but the machine has {what}")


def _check_container(job: JobFile, path: Path, pool: Pool) -> Iterator[Finding]:
    image_path = (*path, "imageUri")
    if pool.image is None:
        yield error(job, image_path, "is missing")
    elif not _IMAGE.fullmatch(pool.image):
        yield error(
            job,
            image_path,
            f"must be HOST/PROJECT/REPOSITORY/NAME:TAG, in lower case; received {pool.image!r}",
        )
    elif _PREBUILT.fullmatch(pool.image) and not pool.command:
        yield error(
            job,
            image_path,
            "is Google's image without our code; use pythonPackageSpec with "
            "executorImageUri, or your own image",
        )


def _check_image_region(job: JobFile, path: Path, pool: Pool, region: str) -> Iterator[Finding]:
    match = re.match(r"([a-z]+-[a-z]+\d+)-docker\.pkg\.dev/", pool.image or "")
    if match and region and match[1] != region:
        yield warning(
            job,
            path,
            f"the image is in {match[1]}, the job in {region}: it starts later and the "
            "traffic is billed; push it to a repository of the job's region",
        )


def _check_sizes(job: JobFile, path: Path, pool: Pool) -> Iterator[Finding]:
    """Limits of the API, and variables that Vertex AI sets itself."""
    length = sum(len(arg) for arg in pool.args)
    if length > _MOST_ARG_CHARACTERS:
        yield error(
            job,
            (*path, "args"),
            f"have {length} characters; at most {_MOST_ARG_CHARACTERS}. Put "
            "them into the config file",
        )
    task = job.job_spec["workerPoolSpecs"][pool.index][str(path[-1])]
    variables = [str(item.get("name", "")) for item in task.get("env", [])]
    if len(variables) > _MOST_VARIABLES:
        yield error(
            job, (*path, "env"), f"has {len(variables)} variables; at most {_MOST_VARIABLES}"
        )
    for index, name in enumerate(variables):
        here = (*path, "env", index)
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            yield error(job, here, f"must have a name such as TF_CPP_MIN_LOG_LEVEL; got {name!r}")
        elif name in variables[:index]:
            yield error(job, here, f"{name} is set twice")
        elif _GOOGLES_VARIABLE.fullmatch(name):
            yield error(job, here, f"{name} is set by Vertex AI itself; remove it")
        elif names_secret(name):
            yield warning(
                job,
                here,
                f"{name} seems to hold a secret: whoever may see the job sees its value. Grant the "
                "job's service account what it needs, or let it read Secret Manager",
            )
