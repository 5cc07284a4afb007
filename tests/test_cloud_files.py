"""trainer.cloud_files: patterns over object names, and what refusals say."""

import glob
import importlib
import os
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainer import cloud_files, storage
from trainer.errors import UserError

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
        ("google.api_core.exceptions", "ServiceUnavailable", "no luck"),
    ],
)
def test_refusals_of_the_service_are_user_errors(monkeypatch, module, name, message):
    error = getattr(importlib.import_module(module), name)("no luck")

    def refuse():
        raise error

    monkeypatch.setattr(cloud_files, "client", refuse)
    with pytest.raises(UserError, match=f"cannot read gs://bucket/a: .*{message}"):
        storage.read_bytes("gs://bucket/a")


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
