"""Cloud Storage on this machine: gs://BUCKET/NAME is the file BUCKET/NAME of a folder.

An emulator (gcp-storage-emulator) answers the Google client of every process that has
STORAGE_EMULATOR_HOST set to its address.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from trainer.errors import UserError

# The emulator keeps its files in this folder of its data folder (settings.STORAGE_DIR).
_EMULATORS_FOLDER = ".cloudstorage"
# Its own file in there: what it knows of each object.
_METADATA_FILE = ".meta"
# It keeps what was deleted for this long, beside the buckets; a checkpoint is deleted often.
_NO_SOFT_DELETE = {"softDeletePolicy": {"retentionDurationSeconds": "0"}}


def buckets_in(text: str) -> list[str]:
    """The buckets of all gs:// addresses in a text, sorted.

    >>> buckets_in("--train=gs://data/a.csv --out=gs://runs-1/x --y=gs://runs-1")
    ['data', 'runs-1']
    """
    return sorted(set(re.findall(r"gs://([a-z0-9][a-z0-9._-]+)", text)))


@contextlib.contextmanager
def fake_cloud(folder: str, buckets: Iterable[str]) -> Iterator[str]:
    """Serve a folder as Cloud Storage; gives the address for STORAGE_EMULATOR_HOST.

    Each folder in it is a bucket, and so is each of `buckets`, made where it is absent. Files that
    were put there, changed or deleted since the last time are taken as they are now.

    Raises:
        UserError: the emulator is not installed, another run uses the folder, or a bucket's name
            is not valid.
    """
    try:
        emulator = importlib.import_module("gcp_storage_emulator.server")
    except ModuleNotFoundError as error:
        raise UserError(
            "gs:// on this machine needs the package gcp-storage-emulator; "
            "run pip install 'wide-and-deep-trainer[local]'"
        ) from error
    root = Path(folder).resolve()
    root.mkdir(parents=True, exist_ok=True)
    with _alone_in(root), tempfile.TemporaryDirectory() as data_dir:
        _forget_addresses(root / _METADATA_FILE)
        # So that the user's folder holds the buckets themselves.
        Path(data_dir, _EMULATORS_FOLDER).symlink_to(root, target_is_directory=True)
        server = emulator.create_server("127.0.0.1", 0, data_dir=data_dir)
        server.start()
        # A client that dies amid a request is no news: a traceback would hide what is.
        server._api._httpd.handle_error = lambda *_: None
        try:
            endpoint = f"http://127.0.0.1:{server._api._httpd.server_port}"
            wanted = _wanted_buckets(root, buckets)
            make_buckets(endpoint, wanted)
            for bucket in wanted:
                _register(storage_client(endpoint).bucket(bucket), root / bucket)
            yield endpoint
        finally:
            server.stop()


def storage_client(endpoint: str) -> Any:
    """A Google client of the emulator at that address, whatever this process's environment says."""
    credentials = importlib.import_module("google.auth.credentials").AnonymousCredentials()
    client = importlib.import_module("google.cloud.storage").Client
    return client(
        project="local", credentials=credentials, client_options={"api_endpoint": endpoint}
    )


def make_buckets(endpoint: str, buckets: Iterable[str]) -> None:
    """Make those buckets that are not there."""
    client = storage_client(endpoint)
    there = {bucket.name for bucket in client.list_buckets()}
    for bucket in sorted(set(buckets) - there):
        client.create_bucket(bucket)
        # create_bucket itself does not take it.
        client._patch_resource(f"/b/{bucket}", _NO_SOFT_DELETE)


@contextlib.contextmanager
def _alone_in(root: Path) -> Iterator[None]:
    """Hold the folder: two emulators would not see each other's files."""
    with open(root / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{root} is the gs:// of another run at this moment; wait for it, or use another "
                "--gs_dir"
            ) from error
        yield


def _forget_addresses(metadata: Path) -> None:
    """Drop the download address of each object: it has the port of an earlier emulator."""
    if metadata.exists():
        known = json.loads(metadata.read_text())
        for objects in known["objects"].values():
            for item in objects.values():
                item.pop("mediaLink", None)
        metadata.write_text(json.dumps(known))


def _wanted_buckets(root: Path, named: Iterable[str]) -> list[str]:
    on_disk = {path.name for path in root.iterdir() if path.is_dir() and path.name[0] not in "._"}
    wanted = sorted(on_disk | set(named))
    for bucket in wanted:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", bucket):
            raise UserError(
                f"{root / bucket} cannot be a bucket: a bucket's name has 3 to 63 characters of "
                "a-z, 0-9, dot, dash and underscore. Rename or move the folder"
            )
    return wanted


def _register(bucket: Any, folder: Path) -> None:
    """Bring what the emulator knows of a bucket up to the files on disk."""
    known = {blob.name: blob for blob in bucket.list_blobs()}
    files = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    for name in known.keys() - files.keys():
        known[name].delete()
    for name, path in files.items():
        if name not in known or _is_changed(path, known[name]):
            bucket.blob(name).upload_from_filename(str(path))


def _is_changed(path: Path, blob: Any) -> bool:
    """Whether the file is another than the one that the emulator stored last."""
    status = path.stat()
    modified = datetime.fromtimestamp(status.st_mtime, tz=timezone.utc)
    return bool(status.st_size != blob.size or (modified - blob.updated).total_seconds() > 1)
