"""The labels that say which code a job runs."""

import argparse
import os
import re
import shutil
import subprocess

import pytest

from trainer import __version__
from trainer.errors import UserError
from trainer.jobs.job_labels import make_labels, merge_labels, parse_labels

ENVIRON = {"PATH": os.environ["PATH"]} | {
    f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}


@pytest.fixture
def checkout(tmp_path):
    if not shutil.which("git"):
        pytest.skip("git is not on the PATH")
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer" / "__init__.py").write_text("")
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def _git(folder, *arguments):
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=ENVIRON, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_version_is_a_legal_label():
    version = make_labels({"PATH": ""})["trainer_version"]

    assert version == __version__.replace(".", "-")
    assert re.fullmatch(r"[a-z0-9_-]{1,63}", version)


def test_revision_is_that_of_the_checkout(checkout):
    head = _git(checkout, "rev-parse", "HEAD")

    assert make_labels(ENVIRON, checkout)["git_revision"] == head[:12]


def test_uncommitted_change_is_dirty_and_a_new_file_is_not(checkout):
    head = _git(checkout, "rev-parse", "HEAD")
    (checkout / "new.txt").write_text("")
    assert make_labels(ENVIRON, checkout)["git_revision"] == head[:12]

    (checkout / "trainer" / "__init__.py").write_text("changed = 1\n")

    assert make_labels(ENVIRON, checkout)["git_revision"] == f"{head[:12]}-dirty"


def test_folder_inside_another_repository_has_no_revision(checkout):
    inside = checkout / "site-packages"
    (inside / "trainer").mkdir(parents=True)
    (inside / "trainer" / "__init__.py").write_text("")

    assert set(make_labels(ENVIRON, inside)) == {"trainer_version"}


def test_machine_without_git_has_no_revision(checkout, tmp_path):
    assert set(make_labels({"PATH": str(tmp_path)}, checkout)) == {"trainer_version"}


def test_later_labels_win():
    assert merge_labels({"a": "1", "b": "2"}, {}, {"b": "3", "c": ""}) == {
        "a": "1",
        "b": "3",
        "c": "",
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [("Group", "a"), ("group", "A b"), ("group", "x" * 64), ("", "a"), ("9", "a"), ("g" * 64, "a")],
)
def test_illegal_label_is_refused(key, value):
    with pytest.raises(UserError, match=r"label .*must be at most 63 of a-z, 0-9, _ and -"):
        merge_labels({"good": "1"}, {key: value})


@pytest.mark.parametrize("text", ["team", "a=1,b"])
def test_label_without_a_value_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"expected KEY=VALUE,...; .*'{text}'"):
        parse_labels(text)


def test_value_of_a_label_may_be_empty():
    assert parse_labels("a=,") == {"a": ""}
