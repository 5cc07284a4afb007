import time

import pytest
from check_jobs import CPU, NAMES, find, read

from trainer import cloud_files, storage
from trainer.cli import load_config
from trainer.errors import UserError
from trainer.jobs.check_data import (
    Cloud,
    check_data,
)

LINE = "12.5,2009-06-15 17:26:21,-73.84,40.72,-73.84,40.71,1,2009-06-15\n"


def arguments(*flags):
    return "[]", "[" + ", ".join(f"'{flag}'" for flag in flags) + "]"


def test_model_of_an_embedding_on_this_machine_only(tmp_path):
    path = tmp_path / "config.yaml"
    source = "{model: runs/london, column: hour}"
    path.write_text(
        "label: {column: y, task: regression}\n"
        f"columns:\n  hour: {{kind: categorical, init_from: {source}}}\n"
    )

    found = find(tmp_path, CPU, arguments(f"--config={path}"), uploads=[str(path)])

    (line,) = [str(f) for f in found if "init_from" in str(f)]
    assert "columns.hour.init_from.model runs/london is a path of this machine" in line


def test_model_that_the_machine_cannot_hold(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(
        "label: {column: y, task: regression}\n"
        "columns:\n  a: {kind: categorical, hash_buckets: 1000000000, towers: [wide]}\n"
        "  b: {kind: categorical, hash_buckets: 1000000000, towers: [wide]}\n"
    )

    found = find(tmp_path, CPU, arguments(f"--config={path}"), uploads=[str(path)])

    # 2e9 weights with two slots each: 24 GB of 32.
    assert any("cannot hold the model: its tables take about 24 GB" in line for line in found)


def test_rows_that_the_machine_cannot_hold(tmp_path):
    path = tmp_path / "big.csv"
    path.write_text(LINE * 10_000)
    with open(path, "r+b") as stream:
        stream.truncate(40_000_000_000)  # sparse: nothing is written
    flags = (f"--train={path}", "--storage=memory")

    found = find(tmp_path, CPU, arguments(*flags))

    errors = [line for line in found if line.startswith("error")]
    assert len(errors) == 1 and "cannot hold the encoded rows in memory: about" in errors[0]
    limited = find(tmp_path, CPU, arguments(*flags, "--limit_rows=1000000"))
    assert not [line for line in limited if line.startswith("error")]
    on_disk = find(tmp_path, CPU, arguments(f"--train={path}", "--storage=disk"))
    assert any("the disk has 100 GB" in line for line in on_disk)


def test_local_data_are_named_whether_or_not_they_are_here(tmp_path):
    found = find(tmp_path, CPU, arguments("--train=data/a.csv", "--validation=/opt/b.csv"))

    assert [line.split(" ")[0] for line in found] == ["error", "warning"]
    assert "data.train data/a.csv is a path of this machine" in found[0]
    assert (
        "/opt/b.csv is a path of this machine, not of the job's; copy it to gs://, unless"
        in (found[1])
    )


def test_pattern_that_matches_nothing(tmp_path, emulator):
    storage.write_bytes(f"{emulator}/data/train-0.csv", LINE.encode())

    found = find(
        tmp_path,
        CPU,
        arguments(
            f"--train={emulator}/data/train-*.csv",
            f"--validation={emulator}/data/valid-*.csv",
            "--test=/gcs/bucket/data/test-*.csv",
        ),
        names={**NAMES, "BUCKET": "bucket"},
        read_data=True,
    )

    errors = [line for line in found if line.startswith("error")]
    assert len(errors) == 2
    assert "data.validation: no file matches gs://bucket/data/valid-*.csv" in errors[0]
    assert "data.test: no file matches gs://bucket/data/test-*.csv" in errors[1]


def test_bucket_that_is_not_there(tmp_path, emulator):
    found = find(tmp_path, CPU, names={**NAMES, "BUCKET": "no-such-bucket"}, read_data=True)

    assert len(found) == 1
    assert "there is no bucket no-such-bucket; gcloud storage buckets create" in found[0]


@pytest.mark.parametrize(
    ("location", "severity"),
    [("US-CENTRAL1", None), ("EUROPE-WEST4", "error"), ("US", "warning")],
)
def test_place_of_the_bucket(tmp_path, emulator, location, severity):
    name = f"in-{location.lower()}"
    cloud_files.client().create_bucket(name, location=location)
    # The emulator says US whatever it was told.
    server_answer = cloud_files.client().get_bucket(name)
    server_answer._properties["location"] = location
    names = {**NAMES, "BUCKET": name}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cloud_files.client(), "get_bucket", lambda *a, **k: server_answer)
        found = find(tmp_path, CPU, names=names, read_data=True)

    assert [line.split(" ")[0] for line in found] == ([severity] if severity else [])
    if severity:
        assert f"the bucket {name} is in " in found[0] and location.lower() in found[0]


def test_cloud_that_does_not_answer_is_asked_once(tmp_path, monkeypatch):
    asked = []

    def hang(*_, **__):
        asked.append(1)
        time.sleep(30)

    monkeypatch.setattr(cloud_files, "list_files", hang)
    monkeypatch.setattr(cloud_files, "find_blob", hang)
    cloud = Cloud(seconds=0.1)
    job = read(tmp_path, CPU, arguments("--train=gs://b/a.csv", "--validation=gs://b/b.csv"))
    config = load_config(list(job.trainer_args), {}).config

    assert list(check_data(job, config, cloud, ())) == []
    assert cloud.refusal == "no answer in time" and len(asked) == 1


def test_cloud_that_may_not_be_asked_is_not_asked():
    cloud = Cloud(is_allowed=False)

    assert cloud.ask(lambda: 1 / 0) is None
    assert cloud.refusal is None


def test_cloud_tells_absence_from_refusal():
    cloud = Cloud()

    def absent():
        raise UserError("no file matches gs://b/x")

    def refused():
        raise UserError("cannot list gs://b/x: the account has no right to") from PermissionError()

    assert cloud.ask(lambda: [1]) == [1]
    with pytest.raises(UserError, match="no file matches"):
        cloud.ask(absent)
    assert cloud.ask(refused) is None
    assert "has no right" in cloud.refusal
