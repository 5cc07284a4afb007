"""trainer.data_files: which files a run reads, and their fingerprints."""

import os

import pytest

from trainer.config import DataConfig
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
    prints = fingerprints(found)
    assert list(prints) == [f"{tmp_path}/part-{i}.csv" for i in range(3)]
    assert all(text.startswith("4-") for text in prints.values())
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
