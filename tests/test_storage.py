"""trainer.storage: the same behaviour for local folders and for Cloud Storage (an emulator)."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from trainer import cloud_files, storage
from trainer.errors import UserError

ROOT = Path(__file__).parents[1]


@pytest.fixture(params=["local", "gs"])
def root(request, tmp_path):
    """An empty folder, local and remote: every test runs on both."""
    if request.param == "local":
        return str(tmp_path)
    return f"{request.getfixturevalue('emulator')}/{tmp_path.name}"


def fill(root, *names):
    for name in names:
        storage.write_text(storage.join(root, name), f"content of {name}")


def relative(root, paths):
    return [path.removeprefix(root + "/") for path in paths]


def test_written_content_is_read_back(root):
    path = storage.join(root, "deep", "er", "a.bin")
    storage.write_bytes(path, b"\x00\xff\r\n")
    assert storage.read_bytes(path) == b"\x00\xff\r\n"
    storage.write_bytes(path, b"")
    assert storage.read_bytes(path) == b""


def test_text_loses_its_byte_order_mark_and_keeps_line_ends(root):
    path = storage.join(root, "a.txt")
    storage.write_bytes(path, b"\xef\xbb\xbfa\r\n\xc3\xa9")
    assert storage.read_text(path) == "a\r\n\u00e9"


def test_text_that_is_not_utf8_is_refused(root):
    path = storage.join(root, "a.txt")
    storage.write_bytes(path, b"\xff\xfe")
    with pytest.raises(UserError, match=r"a.txt is not UTF-8 text.*save it as UTF-8"):
        storage.read_text(path)


def test_stream_is_seekable(root):
    path = storage.join(root, "a.bin")
    storage.write_bytes(path, bytes(range(100)))
    with storage.open_read(path) as stream:
        stream.seek(-2, os.SEEK_END)
        assert stream.read() == b"\x62\x63"
        stream.seek(10)
        assert stream.read(2) == b"\x0a\x0b"


@pytest.mark.parametrize(
    "action",
    [storage.read_bytes, storage.open_read, storage.fingerprint, storage.content_fingerprint],
)
def test_absent_file_is_named(root, action):
    with pytest.raises(UserError, match=r"cannot read .*/absent.csv: it does not exist"):
        action(storage.join(root, "absent.csv"))


def test_absent_bucket_is_named(emulator):
    with pytest.raises(UserError, match="cannot write gs://nowhere/a"):
        storage.write_bytes("gs://nowhere/a", b"")
    with pytest.raises(UserError, match="'gs://' names no bucket"):
        storage.list_files("gs://")
    with pytest.raises(UserError, match="gs://bucket/ is a whole bucket"):
        storage.remove("gs://bucket/")


def test_pattern_stays_within_its_folder_and_is_sorted(root):
    fill(root, "part-10.csv", "part-9.csv", "other.csv", "sub/part-1.csv", ".part-0.csv")
    assert relative(root, storage.list_files(storage.join(root, "part-*.csv"))) == [
        "part-10.csv",
        "part-9.csv",
    ]
    assert relative(root, storage.list_files(storage.join(root, "part-?.csv"))) == ["part-9.csv"]
    assert relative(root, storage.list_files(storage.join(root, "[!p]*.csv"))) == ["other.csv"]
    assert relative(root, storage.list_files(storage.join(root, "*.csv"))) == [
        "other.csv",
        "part-10.csv",
        "part-9.csv",
    ]
    assert relative(root, storage.list_files(storage.join(root, "**/part-1*.csv"))) == [
        "part-10.csv",
        "sub/part-1.csv",
    ]


def test_name_with_wildcards_is_itself(root):
    fill(root, "a[1].csv", "a1.csv")
    path = storage.join(root, "a[1].csv")
    assert storage.list_files(path) == [path]


def test_pattern_without_files_says_what_is_there(root):
    fill(root, "a.csv", "b.csv", "c.csv", "d.csv")
    with pytest.raises(UserError, match=r"no file matches .*; .* has a.csv, b.csv, c.csv, \.\.\."):
        storage.list_files(storage.join(root, "*.tsv"))


def test_local_folder_is_not_a_file(tmp_path):
    fill(str(tmp_path), "a.csv")
    with pytest.raises(UserError, match=r"is a folder; name its files, e.g. .*\*.csv"):
        storage.list_files(str(tmp_path))
    with pytest.raises(UserError, match=r"no file matches .*; the folder .*/no does not exist"):
        storage.list_files(str(tmp_path / "no" / "*.csv"))


def test_children_of_a_folder(root):
    fill(root, "b", "a/x", "a/y/z")
    assert storage.list_dir(root) == ["a", "b"]
    assert storage.list_dir(storage.join(root, "a") + "/") == ["x", "y"]
    assert storage.list_dir(storage.join(root, "absent")) == []


def test_files_and_folders_exist(root):
    fill(root, "folder/a.txt")
    assert storage.exists(storage.join(root, "folder/a.txt"))
    assert storage.exists(storage.join(root, "folder"))
    assert not storage.exists(storage.join(root, "fold"))


def test_removal_spares_names_that_only_begin_alike(root):
    fill(root, "run/a", "run/b/c", "run2/a", "run.txt")
    storage.remove(storage.join(root, "run"))
    assert storage.list_dir(root) == ["run.txt", "run2"]
    storage.remove(storage.join(root, "run.txt"))
    storage.remove(storage.join(root, "run.txt"))
    assert storage.list_dir(root) == ["run2"]


def test_fingerprint_changes_with_the_file(root):
    path = storage.join(root, "a")
    storage.write_bytes(path, b"one")
    before = storage.fingerprint(path)
    assert before == storage.fingerprint(path)
    assert before.startswith("3-")
    storage.write_bytes(path, b"two")
    if not storage.is_remote(path):
        os.utime(path, ns=(1, 1))
    assert storage.fingerprint(path) != before


def test_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = str(tmp_path / "a.json")
    storage.write_text(path, "old")

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=r"cannot write .*a.json: No space left on device"):
        storage.write_text(path, "new")
    assert os.listdir(tmp_path) == ["a.json"]
    assert Path(path).read_text() == "old"


@pytest.fixture
def model_dir(tmp_path):
    folder = tmp_path / "finished"
    fill(str(folder), "a.txt", "saved_model.pb", "variables/variables.index")
    return str(folder)


# Writes a file and is killed just before it takes its place.
KILLED = """
import os, sys
from trainer import storage
sys.addaudithook(lambda event, _: event == "os.rename" and os.kill(os.getpid(), 9))
storage.write_text(sys.argv[1], "half")
"""


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    kept = [tmp_path / name for name in ("a.txt", ".a.txt.tmp", ".hidden", "b.tmp")]
    for path in kept:
        path.write_text("whole")
    for name in ("a.txt", "a.txt.b", "below/[c].txt"):
        subprocess.run([sys.executable, "-c", KILLED, tmp_path / name], cwd=ROOT)
    left = {path for path in tmp_path.rglob("*") if path.is_file()} - {*kept}
    assert len(left) == 3

    storage.remove_unfinished(str(tmp_path / "a.txt"))
    assert {path for path in left if not path.exists()} == {
        path for path in left if re.fullmatch(r"\.a\.txt\.[0-9a-f]{32}\.tmp", path.name)
    }
    storage.remove_unfinished(str(tmp_path / "below" / "[c].txt"))
    assert not list((tmp_path / "below").iterdir())
    storage.remove_unfinished(str(tmp_path))
    storage.remove_unfinished(str(tmp_path / "absent" / "file"))
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {*kept}


def test_marker_file_is_committed_last(root, model_dir, monkeypatch):
    destination = storage.join(root, "model")
    fill(destination, "saved_model.pb", "a.txt")
    seen = []
    copy = storage._copy_file

    def spy(local, target):
        seen.append((target.removeprefix(destination + "/"), storage.list_dir(destination)))
        copy(local, target)

    monkeypatch.setattr(storage, "_copy_file", spy)
    storage.commit_dir(model_dir, destination, last="saved_model.pb")
    assert seen == [
        ("a.txt", ["a.txt"]),
        ("variables/variables.index", ["a.txt"]),
        ("saved_model.pb", ["a.txt", "variables"]),
    ]
    assert (
        storage.read_text(storage.join(destination, "saved_model.pb"))
        == "content of saved_model.pb"
    )


def test_folder_without_the_marker_is_not_committed(root, model_dir):
    with pytest.raises(ValueError, match=r"has no done; it has \['a.txt'"):
        storage.commit_dir(model_dir, root, last="done")


def test_fetched_folder_is_the_committed_one(root, model_dir, tmp_path):
    destination = storage.join(root, "model")
    storage.commit_dir(model_dir, destination, last="saved_model.pb")
    fill(root, "model2/not_mine")
    back = tmp_path / "back"
    storage.fetch_dir(destination + "/", str(back))
    files = {p.relative_to(back).as_posix(): p.read_text() for p in back.rglob("*") if p.is_file()}
    names = ("a.txt", "saved_model.pb", "variables/variables.index")
    assert files == {name: f"content of {name}" for name in names}
    with pytest.raises(UserError, match=r"no files in folder .*absent"):
        storage.fetch_dir(storage.join(root, "absent"), str(back))


def test_content_fingerprint_is_that_of_a_copy_and_of_nothing_else(root, tmp_path):
    paths = [storage.join(root, name) for name in ("a", "b", "c", "d")]
    for path, content in zip(paths, [b"12", b"12", b"21", b"121"], strict=True):
        storage.write_bytes(path, content)
    if not storage.is_remote(root):
        os.utime(paths[1], (0, 0))
    prints = [storage.content_fingerprint(path) for path in paths]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3
    assert [text.partition("-")[0] for text in prints] == ["2", "2", "2", "3"]


@pytest.mark.parametrize("name", ["f/../../x", "f/{outside}/x"])
def test_objects_are_not_copied_out_of_the_folder(tmp_path, monkeypatch, name):
    """Names that the emulator refuses and Cloud Storage takes."""
    name = name.format(outside=tmp_path)
    blob = SimpleNamespace(name=name, download_to_filename=lambda path, **_: Path(path).touch())
    monkeypatch.setattr(cloud_files, "tree", lambda path: [blob])
    with pytest.raises(UserError, match=r"gs://b/f has an object '.*x', which would be copied"):
        storage.fetch_dir("gs://b/f", str(tmp_path / "a" / "b"))
    assert not (tmp_path / "x").exists()
