"""What a job needs in its bucket: the user's config and this checkout's package."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from trainer import storage
from trainer.errors import UserError
from trainer.jobs import package
from trainer.jobs.job_file import JobFile


def config_uri(job: JobFile, names: Mapping[str, str]) -> str:
    """Where a local config goes: beside the run.

    Not as config.yaml: in its run folder the trainer writes a file of that name, the resolved
    config, and a job that is started again would read that one.

    Raises:
        UserError: neither the job nor BUCKET names a bucket.
    """
    folder = job.output_uri
    if folder is None:
        if not names.get("BUCKET"):
            raise UserError(
                f"--config is a local file, and neither baseOutputDirectory of {job.path} nor "
                "BUCKET says where to upload it; set BUCKET in configs/names.env"
            )
        folder = f"gs://{names['BUCKET']}/runs/{names['JOB']}"
    return storage.join(folder, "submitted_config.yaml")


def own_packages(job: JobFile) -> tuple[str, ...]:
    """The package URIs of the job that are to hold this checkout's package, each once.

    A package of another version is taken as it lies in the bucket, and said so.
    """
    uris = dict.fromkeys(
        uri for pool in job.pools if pool.runs_trainer for uri in pool.package_uris
    )
    own = []
    for uri in uris:
        name = PurePosixPath(uri).name
        if name == package.SDIST_NAME:
            own.append(uri)
        elif name.startswith(package.SDIST_NAME.partition("-")[0]):
            print(f"note: {uri} is taken as it is; this checkout makes {package.SDIST_NAME}")
    return tuple(own)


def upload_config(source: str, destination: str) -> None:
    """Copy the user's config to the bucket.

    Raises:
        UserError: it cannot be read, or the bucket not be written.
    """
    storage.write_bytes(destination, storage.read_bytes(source))
    print(f"uploaded {source} to {destination}")


def upload_packages(uris: Sequence[str]) -> None:
    """Build the package and copy it to each URI that does not have its content yet.

    Raises:
        UserError: it cannot be built, or the bucket not be written.
    """
    if not uris:
        return
    with tempfile.TemporaryDirectory() as folder:
        sdist = package.build_package(folder)
        for uri in uris:
            is_new = package.upload_package(sdist, uri)
            print(f"uploaded the package to {uri}" if is_new else f"package unchanged: {uri}")
