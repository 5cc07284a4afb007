"""Objects of Cloud Storage behind gs:// paths, for `storage.py` and the run lock.

Whatever fails for now (429, 5xx, a connection that is cut or silent) is tried again by Google's
library, with growing pauses, for RETRY_SECONDS. That is safe for writes, because each has a
precondition: a request that arrives late, after its repetition, does nothing. A write that won, but
whose answer was lost, is known by a token in the object's metadata.

Imports errors and the standard library; google-cloud-storage only when the client is first needed.
"""

from __future__ import annotations

import functools
import importlib
import re
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainer.errors import UserError

SCHEME = "gs://"
# An outage of a minute passes unseen; after this time the run ends for now.
RETRY_SECONDS = 120.0
FIRST_PAUSE_SECONDS = 1.0
# With the library's own 60 s the next pause would soon exceed what is left, and end the patience.
LONGEST_PAUSE_SECONDS = 15.0
# Without a byte from the service.
TIMEOUT_SECONDS = 60.0
_WRITE_TOKEN = "write"


@functools.cache
def client() -> Any:
    """The Cloud Storage client, made once; the library itself honours STORAGE_EMULATOR_HOST."""
    storage = importlib.import_module("google.cloud.storage")
    try:
        return storage.Client()
    except OSError:
        # A user's credentials need not come with a project; to make a bucket alone needs one.
        return storage.Client(project=None)


def patience(seconds: float | None = None) -> dict[str, Any]:
    """Arguments of the library's methods: how long to wait for an answer, and to try again.

    Args:
        seconds: for all tries together; None means RETRY_SECONDS.
    """
    retry = importlib.import_module("google.cloud.storage.retry").DEFAULT_RETRY
    retry = retry.with_delay(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, 2.0)
    # with_timeout is newer than the oldest google-api-core that google-cloud-storage takes.
    retry = retry.with_deadline(RETRY_SECONDS if seconds is None else seconds)
    return {"timeout": TIMEOUT_SECONDS, "retry": retry}


def absence(error: Exception) -> str | None:
    """What the library met for as long as it tried, where it gave up; None for any other error."""
    exceptions = importlib.import_module("google.api_core.exceptions")
    transport = importlib.import_module("requests.exceptions")
    kinds = (
        exceptions.RetryError,
        exceptions.ServerError,
        exceptions.TooManyRequests,
        transport.ConnectionError,
        transport.Timeout,
        transport.ChunkedEncodingError,
        importlib.import_module("google.auth.exceptions").TransportError,
        ConnectionError,
    )
    if not isinstance(error, kinds):
        return None
    last = error.cause if isinstance(error, exceptions.RetryError) and error.cause else error
    return f"{type(last).__name__}: {last}"[:200]


def refusal(error: Exception) -> str | None:
    """What a user can do about an error of the Google client; None for any other error."""
    exceptions = importlib.import_module("google.api_core.exceptions")
    auth = importlib.import_module("google.auth.exceptions")
    if isinstance(error, auth.GoogleAuthError):
        return f"no valid Google credentials ({error}); run gcloud auth application-default login"
    if isinstance(error, exceptions.NotFound):
        return "the bucket or the object does not exist"
    if isinstance(error, exceptions.Forbidden):
        return f"the account has no right to ({error.message})"
    if isinstance(error, exceptions.GoogleAPICallError):
        return str(error.message)
    return None


def split(path: str) -> tuple[str, str]:
    """Bucket and object name of a gs:// path; the name is '' for the bucket itself."""
    bucket, _, name = path[len(SCHEME) :].partition("/")
    if not bucket:
        raise UserError(f"{path!r} names no bucket; expected gs://BUCKET/NAME")
    return bucket, name


def folder_prefix(name: str) -> str:
    """What the names of all objects in folder `name` begin with; '' for the whole bucket."""
    return name.rstrip("/") + "/" if name else ""


def new_blob(path: str) -> Any:
    """The object to write at `path`, whether or not there is one."""
    bucket, name = split(path)
    return client().bucket(bucket).blob(name)


def upload(path: str, content: bytes | Path) -> None:
    """Write an object in the place of the one that is there; `content` may be a local file.

    Raises:
        UserError: another process wrote it at the same moment.
    """
    if upload_if(path, content, generation=_generation(path)) is None:
        raise UserError(
            f"{path} was written by another process at the same moment; "
            "let only one run write there"
        )


def upload_if(
    path: str,
    content: bytes | Path,
    *,
    generation: int,
    writer: str | None = None,
    seconds: float | None = None,
) -> int | None:
    """Write an object where it has this generation (0: where there is none).

    Args:
        path: of the object.
        content: or the local file that holds it.
        generation: that it has to have.
        writer: a name that no other process has: what an earlier write of it left, which ended
            without an answer, counts as this one's. None means that only this very write does.
        seconds: for all tries together; None means RETRY_SECONDS.

    Returns:
        The generation of the new object; None where the one there is another's.
    """
    exceptions = importlib.import_module("google.api_core.exceptions")
    blob = new_blob(path)
    token = {_WRITE_TOKEN: writer or uuid.uuid4().hex}
    blob.metadata = token
    options = {"if_generation_match": generation, **patience(seconds)}
    try:
        if isinstance(content, Path):
            blob.upload_from_filename(str(content), **options)
        else:
            blob.upload_from_string(content, content_type="application/octet-stream", **options)
    except exceptions.PreconditionFailed:
        with suppress(FileNotFoundError):
            # Where a try won, but its answer was lost, it is the next one that is refused.
            found = find_blob(path)
            if found.metadata == token:
                return int(found.generation)
        return None
    return int(blob.generation)


def delete(path: str, generation: int, seconds: float | None = None) -> None:
    """Delete an object if it still has this generation; absent is fine, as after a lost answer.

    Tries for `seconds`; None means RETRY_SECONDS.
    """
    exceptions = importlib.import_module("google.api_core.exceptions")
    bucket, name = split(path)
    with suppress(exceptions.NotFound):
        client().bucket(bucket).blob(name, generation=generation).delete(**patience(seconds))


def find_blob(path: str) -> Any:
    """The object at `path` with its size and generation; FileNotFoundError where there is none."""
    bucket, name = split(path)
    blob = client().bucket(bucket).get_blob(name, **patience()) if name else None
    if blob is None:
        raise FileNotFoundError(path)
    return blob


def exists(path: str) -> bool:
    """Whether there is an object at `path` or under it."""
    bucket, name = split(path)
    if name and _generation(path):
        return True
    inside = client().list_blobs(bucket, prefix=folder_prefix(name), max_results=1, **patience())
    return any(True for _ in inside)


def list_dir(path: str) -> list[str]:
    """Names of the direct children of a folder, sorted; [] where it is absent."""
    bucket, name = split(path)
    prefix = folder_prefix(name)
    blobs = client().list_blobs(bucket, prefix=prefix, delimiter="/", **patience())
    # The folders (`prefixes`) are known only once the objects have been iterated over.
    names = {blob.name[len(prefix) :] for blob in blobs}
    names |= {folder[len(prefix) :].rstrip("/") for folder in blobs.prefixes}
    return sorted(names - {""})


def tree(path: str) -> list[Any]:
    """The object at `path` and all objects under it."""
    bucket, name = split(path)
    inside = folder_prefix(name)
    blobs = client().list_blobs(bucket, prefix=name.rstrip("/"), **patience())
    return [b for b in blobs if b.name == name or b.name.startswith(inside)]


def list_files(pattern: str) -> list[str]:
    """Paths of the objects that a path or a glob pattern names, sorted."""
    bucket, name = split(pattern)
    fixed = re.split(r"[*?\[]", name, maxsplit=1)[0]
    names = [blob.name for blob in client().list_blobs(bucket, prefix=fixed, **patience())]
    if name in names:
        return [pattern]
    matches = re.compile(_glob_regex(name)).fullmatch
    return sorted(f"{SCHEME}{bucket}/{n}" for n in names if matches(n) and not n.endswith("/"))


def _generation(path: str) -> int:
    """Of the object at `path`; 0 where there is none."""
    try:
        return int(find_blob(path).generation)
    except FileNotFoundError:
        return 0


def _glob_regex(pattern: str) -> str:
    r"""The regular expression of a glob pattern, as the local file system reads it.

    >>> _glob_regex("a/**/part-*.csv")
    'a/(?:[^/.][^/]*/)*part\\-[^/]*\\.csv'
    """
    parts: list[str] = []
    previous = "/"
    for token in re.findall(r"\*\*/|\*+|\?|\[!?\]?[^\]]*\]|.", pattern, flags=re.DOTALL):
        hidden = "(?!\\.)" if previous.endswith("/") else ""
        previous = token
        if token == "**/":
            parts.append("(?:[^/.][^/]*/)*")
        elif token[0] == "*":
            parts.append(hidden + "[^/]*")
        elif token == "?":
            parts.append(hidden + "[^/]")
        elif len(token) > 1:
            is_negated = token[1] == "!"
            members = token[2 if is_negated else 1 : -1].replace("\\", "\\\\")
            # Before the members a ^ would negate; no class holds the slash.
            opening = "[^" if is_negated else "[" + "\\" * members.startswith("^")
            parts.append(f"{hidden}(?!/){opening}{members}]")
        else:
            parts.append(re.escape(token))
    return "".join(parts)
