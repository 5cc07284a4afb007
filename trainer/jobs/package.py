"""The trainer as a package: build it, tell whether its content changed, upload it.

Imports storage, cloud_files and errors; the build runs in a process of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from trainer import __version__, cloud_files, storage
from trainer.errors import UserError
from trainer.outcome import exit_code_of

# As PEP 625 wants it; setuptools before 69.3 writes the project's name with dashes.
SDIST_NAME = f"wide_and_deep_trainer-{__version__}.tar.gz"
SOURCE_DIR = Path(__file__).resolve().parents[2]

# What the package is made of. Nothing else may change it, such as a stale build/ or *.egg-info.
_SOURCES = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "trainer")
_HASH_KEY = "content-sha256"


def build_package(out_dir: Path | str, *, wheel: bool = False) -> Path:
    """Build `SDIST_NAME` into a folder that is made, and with `wheel` the wheel from it.

    The checkout is only read: a build beside another one, or in a folder of old builds, is safe.
    Takes about 2 seconds where setuptools and wheel are installed; else `build` fetches them.

    Raises:
        UserError: there is no checkout to build from, `build` is not installed, or it failed.
    """
    if not (SOURCE_DIR / "setup.py").is_file():
        raise UserError(
            f"the package is built from a checkout, and {SOURCE_DIR} has no setup.py; "
            "run the script of a clone of the repository"
        )
    if importlib.util.find_spec("build") is None:
        raise UserError(
            "building the package needs `build`: pip install 'wide-and-deep-trainer[vertex]'"
        )
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        _copy_sources(Path(folder, "source"))
        # Both: the wheel is built from the sdist, so it proves the sdist to be complete.
        kinds = [] if wheel else ["--sdist"]
        _run_build(Path(folder), [*kinds, "--outdir", "built", "source"])
        return _collect(Path(folder, "built"), Path(out_dir))


def content_hash(sdist: Path | str) -> str:
    """SHA-256 over the names and bytes of an sdist's files, equal for equal sources.

    The bytes of the archive are not: they carry times and the order of the file system.

    Raises:
        UserError: it is absent, or no .tar.gz.
    """
    digest = hashlib.sha256()
    try:
        with tarfile.open(sdist, "r:gz") as archive:
            # By name below the top folder, whose spelling depends on setuptools.
            members = {m.name.partition("/")[2]: m for m in archive if m.isfile()}
            for name in sorted(members):
                stream = archive.extractfile(members[name])
                data = stream.read() if stream else b""
                digest.update(f"{name}\0{len(data)}\0".encode())
                digest.update(data)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise UserError(f"{sdist} is no readable sdist (.tar.gz): {error}") from error
    return digest.hexdigest()


def upload_package(sdist: Path | str, destination: str) -> bool:
    """Copy an sdist to `destination`, a .tar.gz in gs:// or a folder, unless its content is there.

    An object carries its content hash as metadata, so that one request tells, and object and hash
    are replaced together. Gives whether it was uploaded.

    Raises:
        UserError: the destination is no .tar.gz, or may not be read or written.
    """
    if not destination.endswith(".tar.gz"):
        raise UserError(
            f"a package is uploaded to a .tar.gz, e.g. gs://BUCKET/packages/{SDIST_NAME}; "
            f"received {destination}"
        )
    expected = content_hash(sdist)
    if not storage.is_remote(destination):
        if Path(destination).is_file() and content_hash(destination) == expected:
            return False
        storage.write_bytes(destination, Path(sdist).read_bytes())
        return True
    try:
        return _upload_object(Path(sdist), destination, expected)
    except Exception as error:
        reason = cloud_files.absence(error) or cloud_files.refusal(error)
        if reason is None:
            raise
        raise UserError(f"cannot upload the package to {destination}: {reason}") from error


def main(argv: Sequence[str]) -> None:
    """Build the package as scripts/build_package.sh asks for it and print the path of the sdist."""
    parser = argparse.ArgumentParser(prog="python -m trainer.jobs.package", description=__doc__)
    parser.add_argument("--out_dir", default="dist", help="folder of the built files")
    parser.add_argument("--wheel", action="store_true", help="build the wheel too")
    options = parser.parse_args(argv)
    print(build_package(options.out_dir, wheel=options.wheel))


def _copy_sources(target: Path) -> None:
    target.mkdir()
    unwanted = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
    for name in _SOURCES:
        source = SOURCE_DIR / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=unwanted)
        else:
            shutil.copyfile(source, target / name)


def _run_build(folder: Path, arguments: Sequence[str]) -> None:
    """Run `python -m build` in `folder`, with what is installed where that is enough."""
    present = all(importlib.util.find_spec(name) for name in ("setuptools", "wheel"))
    isolation = ["--no-isolation"] if present else []
    done = subprocess.run(
        [sys.executable, "-m", "build", *isolation, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["no message"]
        # The error of setup.py stands above what `build` says about it.
        causes = [line for line in lines if re.match(r"\w+(Error|Exception)\b", line)]
        raise UserError(
            f"building the package failed: {(causes or lines)[-1]}; "
            f"`cd {SOURCE_DIR} && python -m build` shows all of it"
        )


def _collect(built: Path, out_dir: Path) -> Path:
    """Moves what was built to `out_dir`, each file as a whole; gives the sdist there."""
    for path in built.iterdir():
        name = SDIST_NAME if path.name.endswith(".tar.gz") else path.name
        storage.write_bytes(str(out_dir / name), path.read_bytes())
    return out_dir / SDIST_NAME


def _upload_object(sdist: Path, destination: str, expected: str) -> bool:
    try:
        found = cloud_files.find_blob(destination)
    except FileNotFoundError:
        found = None
    if found is not None and (found.metadata or {}).get(_HASH_KEY) == expected:
        return False
    blob = cloud_files.new_blob(destination)
    blob.metadata = {_HASH_KEY: expected}
    blob.upload_from_filename(str(sdist), content_type="application/gzip", **cloud_files.patience())
    return True


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
