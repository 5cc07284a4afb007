"""trainer.cloud_files: patterns over object names, and what refusals say."""

import glob
import importlib
import os
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainer import cloud_files, storage
from trainer.errors import Interrupted, UserError

NAMES = [
    "a.csv",
    "ab.csv",
    ".a.csv",
    "b/a.csv",
    "b/c/a.csv",
    "b/.h/a.csv",
    "[a].csv",
    "b/ab",
    "-",
    "^",
]


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["*", "**/", "?", "[ab]", "[!a]", "[a-c]", "[+-9]", "[^a]", "a", "b/", ".", ".csv"]
        ),
        min_size=1,
        max_size=5,
    )
)
def test_patterns_match_what_they_match_on_disk(tmp_path_factory, tokens):
    root = tmp_path_factory.getbasetemp() / "names"
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    pattern = re.sub(r"\*{2,}(?!/)", "*", "".join(tokens))
    pattern = re.sub(r"(?<=[^/])\*\*/", "*/", pattern)
    found = glob.glob(pattern, root_dir=root, recursive=True)
    on_disk = {os.path.normpath(path) for path in found if (root / path).is_file()}
    matches = re.compile(cloud_files._glob_regex(pattern)).fullmatch
    assert {name for name in NAMES if matches(name)} == on_disk


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        ("google.auth.exceptions", "DefaultCredentialsError", "gcloud auth application-default"),
        ("google.api_core.exceptions", "Forbidden", "the account has no right to"),
        ("google.api_core.exceptions", "BadRequest", "no luck"),
    ],
)
def test_refusals_of_the_service_are_user_errors(monkeypatch, module, name, message):
    error = getattr(importlib.import_module(module), name)("no luck")

    def refuse():
        raise error

    monkeypatch.setattr(cloud_files, "client", refuse)
    with pytest.raises(UserError, match=f"cannot read gs://bucket/a: .*{message}"):
        storage.read_bytes("gs://bucket/a")


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("google.api_core.exceptions", "ServiceUnavailable", ("no luck",)),
        ("google.api_core.exceptions", "TooManyRequests", ("no luck",)),
        ("google.api_core.exceptions", "RetryError", ("no luck", ConnectionResetError("cut"))),
        ("google.auth.exceptions", "TransportError", ("no luck",)),
        ("requests.exceptions", "ConnectionError", ("no luck",)),
        ("requests.exceptions", "ChunkedEncodingError", ("no luck",)),
        ("builtins", "ConnectionResetError", ("no luck",)),
    ],
)
def test_what_may_be_well_again_is_an_interruption(monkeypatch, module, name, arguments):
    error = getattr(importlib.import_module(module), name)(*arguments)

    def refuse():
        raise error

    monkeypatch.setattr(cloud_files, "client", refuse)
    reason = "ConnectionResetError: cut" if name == "RetryError" else f"{name}: .*no luck"
    with pytest.raises(
        Interrupted, match=rf"cannot read gs://bucket/a: no answer for 120 s \({reason}"
    ):
        storage.read_bytes("gs://bucket/a")


def test_every_request_has_a_timeout_and_the_library_tries_again_for_two_minutes(monkeypatch):
    """The last try comes less than one pause before the end."""
    options = cloud_files.patience()
    assert options["timeout"] == 60.0
    clock, failures = [0.0], []

    def fail():
        failures.append(clock[0])
        raise ConnectionResetError

    module = importlib.import_module("google.api_core.retry.retry_unary")
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(module.time, "sleep", lambda pause: clock.__setitem__(0, clock[0] + pause))
    with pytest.raises(Exception, match=r"cut|exceeded"):
        options["retry"](fail)()
    assert 105.0 <= failures[-1] <= 120.0
    assert max(np.diff(failures)) <= 15.0


def test_other_errors_keep_their_type(monkeypatch):
    def fail():
        raise ZeroDivisionError

    monkeypatch.setattr(cloud_files, "client", fail)
    with pytest.raises(ZeroDivisionError):
        storage.read_bytes("gs://bucket/a")


def test_path_is_split_into_bucket_and_name():
    assert cloud_files.split("gs://bucket/a/b") == ("bucket", "a/b")
    assert cloud_files.split("gs://bucket") == ("bucket", "")
    with pytest.raises(UserError, match="names no bucket"):
        cloud_files.split("gs:///a")


def test_credentials_without_a_project_will_do(monkeypatch, tmp_path):
    """As `gcloud auth application-default login` leaves them where no project was chosen."""
    key = tmp_path / "adc.json"
    key.write_text(
        '{"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}'
    )
    for variable in ("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")

    assert cloud_files.client.__wrapped__().project is None
