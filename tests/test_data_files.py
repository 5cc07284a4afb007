"""trainer.data_files: which files a run reads, and their fingerprints."""

import os
import zlib

import pytest

from trainer.data_config import DataConfig
from trainer.data_files import find_files, fingerprints
from trainer.errors import UserError


def test_files_are_found_by_pattern_and_part(tmp_path):
    for i in range(3):
        (tmp_path / f"part-{i}.csv").write_text("a,b\n")
    data = DataConfig(train=(f"{tmp_path}/part-[01].csv",), test=(f"{tmp_path}/part-2.csv",))
    found = find_files(data, str(tmp_path / "sample"))
    assert found == {
        "train": (f"{tmp_path}/part-0.csv", f"{tmp_path}/part-1.csv"),
        "test": (f"{tmp_path}/part-2.csv",),
    }
    prints = fingerprints(data, found)
    assert list(prints) == [f"{tmp_path}/part-{i}.csv" for i in range(3)]
    assert set(prints.values()) == {f"4-{zlib.crc32(b'a,b' + bytes([10])):08x}"}
    assert not (tmp_path / "sample").exists()


def test_a_pattern_without_files_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no file matches"):
        find_files(DataConfig(train=(f"{tmp_path}/*.csv",)), str(tmp_path))


@pytest.mark.parametrize("sample_dir", ["local", "gs://bucket/run/sample"])
def test_the_embedded_sample_is_written_to_a_local_folder(tmp_path, sample_dir):
    if sample_dir == "local":
        sample_dir = str(tmp_path / "run" / "sample")
    data = DataConfig(
        train=("sample:train",),
        validation=("sample:valid",),
        test=("sample:test",),
        scratch_dir=str(tmp_path),
    )
    found = find_files(data, sample_dir)
    assert list(found) == ["train", "validation", "test"]
    for paths in found.values():
        assert paths
        assert all(path.startswith(str(tmp_path)) and os.path.isfile(path) for path in paths)
    assert len(set().union(*found.values())) == sum(map(len, found.values()))


def test_an_unknown_sample_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"has sample:train, sample:valid and .* 'sample:trian'"):
        find_files(DataConfig(train=("sample:trian",)), str(tmp_path))


def test_sample_has_the_same_fingerprints_wherever_and_whenever_it_is_written(tmp_path):
    data = DataConfig(train=("sample:train",), test=(f"{tmp_path}/a/test.csv",))
    prints = []
    for place in ("a", "b"):
        found = find_files(data, str(tmp_path / place))
        for path in found["train"]:
            os.utime(path, (len(place), 10**9))
        prints.append(fingerprints(data, found))
    assert prints[0] == prints[1]
    assert list(prints[0]) == [
        "sample:train-00000-of-00002.csv",
        "sample:train-00001-of-00002.csv",
        f"{tmp_path}/a/test.csv",
    ]
    with open(tmp_path / "b" / "train-00001-of-00002.csv", "r+") as file:
        file.write("0")
    changed = fingerprints(data, find_files(data, str(tmp_path / "b")))
    assert [key for key in changed if changed[key] != prints[0][key]] == [
        "sample:train-00001-of-00002.csv"
    ]
