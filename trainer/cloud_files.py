"""Objects of Cloud Storage behind gs:// paths, for `storage.py` alone.

Imports errors and the standard library; google-cloud-storage only when the client is first needed.
"""

from __future__ import annotations

import functools
import importlib
import re
from typing import Any

from trainer.errors import UserError

SCHEME = "gs://"


@functools.cache
def client() -> Any:
    """The Cloud Storage client, made once; the library itself honours STORAGE_EMULATOR_HOST."""
    storage = importlib.import_module("google.cloud.storage")
    try:
        return storage.Client()
    except OSError:
        # A user's credentials need not come with a project; to make a bucket alone needs one.
        return storage.Client(project=None)


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


def upload_if(blob: Any, text: str, *, generation: int) -> bool:
    """Write a text where the object has this generation (0: where there is none); whether it did.

    The blob's own generation is that of the new object afterwards.
    """
    exceptions = importlib.import_module("google.api_core.exceptions")
    try:
        blob.upload_from_string(text, if_generation_match=generation)
    except exceptions.PreconditionFailed:
        return False
    return True


def find_blob(path: str) -> Any:
    """The object at `path` with its size and generation; FileNotFoundError where there is none."""
    bucket, name = split(path)
    blob = client().bucket(bucket).get_blob(name) if name else None
    if blob is None:
        raise FileNotFoundError(path)
    return blob


def exists(path: str) -> bool:
    """Whether there is an object at `path` or under it."""
    bucket, name = split(path)
    if name and client().bucket(bucket).get_blob(name) is not None:
        return True
    inside = client().list_blobs(bucket, prefix=folder_prefix(name), max_results=1)
    return any(True for _ in inside)


def list_dir(path: str) -> list[str]:
    """Names of the direct children of a folder, sorted; [] where it is absent."""
    bucket, name = split(path)
    prefix = folder_prefix(name)
    blobs = client().list_blobs(bucket, prefix=prefix, delimiter="/")
    # The folders (`prefixes`) are known only once the objects have been iterated over.
    names = {blob.name[len(prefix) :] for blob in blobs}
    names |= {folder[len(prefix) :].rstrip("/") for folder in blobs.prefixes}
    return sorted(names - {""})


def tree(path: str) -> list[Any]:
    """The object at `path` and all objects under it."""
    bucket, name = split(path)
    inside = folder_prefix(name)
    blobs = client().list_blobs(bucket, prefix=name.rstrip("/"))
    return [b for b in blobs if b.name == name or b.name.startswith(inside)]


def list_files(pattern: str) -> list[str]:
    """Paths of the objects that a path or a glob pattern names, sorted."""
    bucket, name = split(pattern)
    fixed = re.split(r"[*?\[]", name, maxsplit=1)[0]
    names = [blob.name for blob in client().list_blobs(bucket, prefix=fixed)]
    if name in names:
        return [pattern]
    matches = re.compile(_glob_regex(name)).fullmatch
    return sorted(f"{SCHEME}{bucket}/{n}" for n in names if matches(n) and not n.endswith("/"))


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
