"""One way to list, open, copy and commit files: local paths, /gcs/ mounts and gs:// objects.

Everything that reads or writes a user's path goes through here. /gcs/ is a mounted folder and is
treated as local. Imports cloud_files, remote_file, errors and the standard library. Must not know
what is in a file.

What the user can mend (rights, a full disk, a wrong name) raises UserError. Cloud Storage that has
not answered for cloud_files.RETRY_SECONDS raises Interrupted, exit code 75: nothing is wrong with
the run, which goes on from its newest checkpoint when it is started again.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from trainer import cloud_files
from trainer.errors import Interrupted, UserError
from trainer.remote_file import RemoteFile

# A request per MiB would be latency-bound: one round trip to a bucket costs some 20 to 50 ms.
REMOTE_CHUNK_BYTES = 8 << 20
_LOCAL_CHUNK_BYTES = 1 << 24
# What a file is called while it is written.
_TEMPORARY = ".{name}.{number}.tmp"


def is_remote(path: str) -> bool:
    """Whether the path is an object of Cloud Storage.

    >>> is_remote("gs://bucket/a.csv"), is_remote("/gcs/bucket/a.csv")
    (True, False)
    """
    return path.startswith(cloud_files.SCHEME)


def join(base: str, *parts: str) -> str:
    """The path of `parts` under `base`, local or gs://, whether or not `base` ends with a slash.

    >>> join("gs://bucket/run/", "model", "saved_model.pb"), join("runs", "a")
    ('gs://bucket/run/model/saved_model.pb', 'runs/a')
    """
    if not is_remote(base):
        return os.path.join(base, *parts)
    return "/".join([base.rstrip("/"), *(part.strip("/") for part in parts if part)])


def list_files(pattern: str) -> list[str]:
    """Files that a path or a glob pattern names, sorted, never empty.

    `*` and `?` stay within a folder, `**` crosses folders. A file whose very name is `pattern` wins
    over the reading as a pattern. Names that begin with a dot are not matched by wildcards.

    Raises:
        UserError: nothing matches, or the path is a folder.
    """
    if is_remote(pattern):
        with access("list", pattern):
            found = cloud_files.list_files(pattern)
    elif os.path.isfile(pattern):
        found = [pattern]
    else:
        found = sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
    if not found:
        raise UserError(_nothing_matches(pattern))
    return found


def open_read(path: str) -> BinaryIO:
    """The file as a seekable stream of bytes; the caller closes it.

    Raises:
        UserError: the file is absent or may not be read.
    """
    if is_remote(path):
        stream = RemoteFile(path, REMOTE_CHUNK_BYTES, lambda: access("read", path))
        return cast(BinaryIO, stream)
    with access("read", path):
        return open(path, "rb")


def read_bytes(path: str) -> bytes:
    """The whole content.

    Raises:
        UserError: the file is absent or may not be read.
    """
    with open_read(path) as stream, access("read", path):
        return stream.read()


def read_text(path: str) -> str:
    """The whole content as UTF-8, without a byte order mark; line ends as they are.

    Raises:
        UserError: the file is absent, may not be read, or is not UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: {error}; save it as UTF-8") from error


def exists(path: str) -> bool:
    """Whether a file, or a folder (remote: with at least one object in it), is there."""
    if not is_remote(path):
        return os.path.exists(path)
    with access("look up", path):
        return cloud_files.exists(path)


def list_dir(path: str) -> list[str]:
    """Names of the direct children of a folder, sorted; [] where it is absent."""
    if not is_remote(path):
        return sorted(os.listdir(path)) if os.path.isdir(path) else []
    with access("list", path):
        return cloud_files.list_dir(path)


def remove(path: str) -> None:
    """Delete a file or a whole folder; absent is fine.

    Raises:
        UserError: it may not be deleted, or is a whole bucket.
    """
    with access("delete", path):
        if is_remote(path):
            if not cloud_files.split(path)[1]:
                raise UserError(f"{path} is a whole bucket, which is never deleted; name a folder")
            bucket = cloud_files.split(path)[0]
            for blob in cloud_files.tree(path):
                cloud_files.delete(f"{cloud_files.SCHEME}{bucket}/{blob.name}", blob.generation)
        elif os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            Path(path).unlink(missing_ok=True)


def remove_unfinished(path: str) -> None:
    """Delete what killed processes left of writing a file, or the files in a folder and below.

    Nobody may be writing there now. In a bucket nothing is ever half there.

    Raises:
        UserError: it may not be deleted.
    """
    if is_remote(path):
        return
    target = Path(path)
    name = "*" if target.is_dir() else glob.escape(target.name)
    folder = target if target.is_dir() else target.parent
    pattern = _TEMPORARY.format(name=name, number="[0-9a-f]" * 32)
    with access("delete", path):
        for file in folder.rglob(pattern) if target.is_dir() else folder.glob(pattern):
            file.unlink(missing_ok=True)


def remove_if_empty(path: str) -> None:
    """Delete a local folder with nothing in it; buckets have no folders."""
    if not is_remote(path):
        with contextlib.suppress(OSError):
            os.rmdir(path)


def fingerprint(path: str) -> str:
    """A text that changes when the file does: size and mtime in ns, or size and generation.

    Raises:
        UserError: the file is absent or may not be read.
    """
    with access("read", path):
        if is_remote(path):
            blob = cloud_files.find_blob(path)
            return f"{blob.size}-{blob.generation}"
        status = os.stat(path)
        return f"{status.st_size}-{status.st_mtime_ns}"


def content_fingerprint(path: str) -> str:
    """A text that changes with the content alone: a copy has the same. Reads a local file whole.

    Size and CRC-32, 2.5 GB/s on one core; of an object the CRC-32C that Cloud Storage knows.

    Raises:
        UserError: the file is absent or may not be read.
    """
    with access("read", path):
        if is_remote(path):
            blob = cloud_files.find_blob(path)
            return f"{blob.size}-{blob.crc32c}"
        size = checksum = 0
        with open(path, "rb") as stream:
            while chunk := stream.read(_LOCAL_CHUNK_BYTES):
                size, checksum = size + len(chunk), zlib.crc32(chunk, checksum)
        return f"{size}-{checksum:08x}"


def write_bytes(path: str, data: bytes) -> None:
    """Write a file as a whole: a reader sees the old content or the new, never half. Makes folders.

    Raises:
        UserError: it cannot be written (rights, full disk, a file where a folder must be).
    """
    with access("write", path):
        if is_remote(path):
            cloud_files.upload(path, data)
            return
        with _replacing(path) as temporary:
            temporary.write_bytes(data)


def write_text(path: str, text: str) -> None:
    """Write UTF-8 text as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))


def commit_dir(local_dir: str, destination: str, last: str) -> None:
    """Copy a finished local folder so that `last` is there only when every other file is.

    `last` is the file that readers look for, relative to the folder, e.g. "saved_model.pb". An
    older `last` at the destination is deleted first, so it never stands beside newer files. Other
    files of the same names are replaced; files that `local_dir` does not have are left.

    Raises:
        UserError: the destination cannot be written.
        ValueError: `local_dir` has no file `last`.
    """
    root = Path(local_dir)
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    if last not in names:
        raise ValueError(f"{local_dir} has no {last}; it has {names[:3]}")
    names.remove(last)
    remove(join(destination, last))
    for name in [*names, last]:
        _copy_file(root / name, join(destination, name))


def fetch_dir(source: str, local_dir: str) -> None:
    """Copy a folder, local or remote, to a local one that is made; equal names are replaced.

    Raises:
        UserError: `source` is no folder, has no file, or names one outside of it.
    """
    with access("read", source):
        if is_remote(source):
            prefix = cloud_files.folder_prefix(cloud_files.split(source)[1])
            blobs = [
                b
                for b in cloud_files.tree(source)
                if b.name.startswith(prefix) and b.name[-1] != "/"
            ]
            for blob in blobs:
                target = Path(local_dir, blob.name[len(prefix) :])
                if not target.resolve().is_relative_to(Path(local_dir).resolve()):
                    raise UserError(
                        f"{source} has an object {blob.name!r}, which would be copied to another "
                        "folder; delete it"
                    )
                target.parent.mkdir(parents=True, exist_ok=True)
                blob.download_to_filename(str(target), **cloud_files.patience())
            found = bool(blobs)
        else:
            found = any(path.is_file() for path in Path(source).rglob("*"))
            if found:
                shutil.copytree(source, local_dir, dirs_exist_ok=True)
    if not found:
        raise UserError(f"no files in folder {source}")


def _copy_file(local: Path, destination: str) -> None:
    with access("write", destination):
        if is_remote(destination):
            cloud_files.upload(destination, local)
            return
        with _replacing(destination) as temporary:
            shutil.copyfile(local, temporary)


@contextmanager
def _replacing(path: str) -> Iterator[Path]:
    """A path beside `path` to write to; afterwards it is on disk and has taken the place."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Several hosts may share the folder, so a process id would not be unique.
    temporary = target.with_name(_TEMPORARY.format(name=target.name, number=uuid.uuid4().hex))
    try:
        yield temporary
        with open(temporary, "rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def access(verb: str, path: str) -> Iterator[None]:
    """Turns refusals of the system or of Cloud Storage into an error that names the path.

    Raises:
        UserError: it was refused.
        Interrupted: Cloud Storage did not answer, however often it was asked.
    """
    try:
        yield
    except Exception as error:
        absence = cloud_files.absence(error) if is_remote(path) else None
        if absence is not None:
            raise Interrupted(
                f"cannot {verb} {path}: no answer for {cloud_files.RETRY_SECONDS:g} s ({absence}); "
                "start again to go on"
            ) from error
        if isinstance(error, FileNotFoundError):
            reason: str | None = "it does not exist"
        elif isinstance(error, OSError):
            reason = error.strerror or str(error)
        else:
            reason = cloud_files.refusal(error) if is_remote(path) else None
        if reason is None:
            raise
        raise UserError(f"cannot {verb} {path}: {reason}") from error


def _nothing_matches(pattern: str) -> str:
    """The message for a pattern without files: what was looked for and what is there instead."""
    if not is_remote(pattern) and os.path.isdir(pattern):
        example = join(pattern, "*.csv")
        return f"{pattern} is a folder; name its files, e.g. {example}{_some_files(pattern)}"
    folder = pattern.rpartition("/")[0] or ("." if not is_remote(pattern) else pattern)
    message = f"no file matches {pattern}"
    if not is_remote(pattern) and not glob.has_magic(folder) and not os.path.isdir(folder):
        return f"{message}; the folder {folder} does not exist"
    return message + _some_files(folder)


def _some_files(folder: str) -> str:
    names = [] if glob.has_magic(folder) else list_dir(folder)
    rest = ", ..." if len(names) > 3 else ""
    return f"; {folder} has {', '.join(names[:3])}{rest}" if names else ""
