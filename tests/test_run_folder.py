"""trainer.run_folder: whose folder it is, and when it is complete."""

import json
import os

import pytest

from trainer import storage
from trainer.config import parse_config
from trainer.errors import UserError
from trainer.run_folder import RunFolder


@pytest.fixture(params=["local", "gs"])
def job_dir(request, tmp_path):
    """A folder for a run that is not there yet, local and remote."""
    if request.param == "local":
        return str(tmp_path / "run")
    return f"{request.getfixturevalue('emulator')}/{tmp_path.name}/run"


def config_of(job_dir, **sections):
    values = {
        "columns": {
            "x": "numeric",
            "ride": {
                "kind": "geo",
                "from_point": ["a", "b"],
                "to_point": ["c", "d"],
                "landmarks": {"airport": [40.6, -73.8]},
            },
        },
        "label": {"column": "y", "task": "regression"},
        "output": {"job_dir": job_dir},
    }
    return parse_config(values | sections, "test")


def test_a_run_needs_a_folder():
    with pytest.raises(UserError, match=r"output.job_dir is not set; give --job_dir DIRECTORY"):
        RunFolder(config_of(None))


def test_paths_lie_in_the_folder_unless_they_are_given():
    folder = RunFolder(config_of("gs://bucket/run/"))
    assert folder.model_dir == "gs://bucket/run/model"
    assert folder.checkpoint_dir == "gs://bucket/run/checkpoints"
    assert folder.log_dir == "gs://bucket/run/logs"
    assert folder.path("report.json") == "gs://bucket/run/report.json"
    given = {"model_dir": "/m", "checkpoint_dir": "/c", "log_dir": "/l", "job_dir": "/run"}
    folder = RunFolder(config_of(None, output=given))
    assert (folder.model_dir, folder.checkpoint_dir, folder.log_dir) == ("/m", "/c", "/l")


def test_a_run_is_complete_when_its_report_is_there(job_dir):
    folder = RunFolder(config_of(job_dir))
    assert not folder.is_complete()
    report = {"metrics": {"rmse": 1 / 3}, "step": 12}
    folder.complete(report)
    assert folder.is_complete()
    assert folder.read_report() == report


def test_the_marker_is_written_last(tmp_path, monkeypatch):
    folder = RunFolder(config_of(str(tmp_path)))
    written = []
    monkeypatch.setattr(storage, "write_text", lambda path, text: written.append(path))
    folder.complete({})
    assert [os.path.basename(path) for path in written] == ["report.json", "COMPLETE"]


FILES = {"gs://data/a.csv": "10-1", "gs://data/b.csv": "20-2"}


def claimed(job_dir, **sections):
    config = config_of(job_dir, **sections)
    folder = RunFolder(config)
    folder.claim(folder.identify(config, FILES))
    return folder


def check_again(job_dir, files=FILES, **sections):
    config = config_of(job_dir, **sections)
    folder = RunFolder(config)
    folder.check(folder.identify(config, dict(files)))


def test_an_unclaimed_folder_is_free(job_dir):
    check_again(job_dir)


def test_the_same_config_and_files_are_the_same_run(job_dir):
    claimed(job_dir)
    check_again(job_dir)


@pytest.mark.parametrize(
    "sections",
    [
        {"data": {"scratch_dir": "/elsewhere", "cache_dir": "/elsewhere"}},
        {"training": {"checkpoint_steps": 5, "checkpoint_seconds": 1, "keep_checkpoints": 9}},
        {"training": {"resume": "restart"}},
    ],
)
def test_settings_that_do_not_change_what_is_learned_may_differ(job_dir, sections):
    claimed(job_dir)
    check_again(job_dir, **sections)
    config = config_of(job_dir, output={"job_dir": job_dir, "model_dir": "/elsewhere"})
    folder = RunFolder(config)
    folder.check(folder.identify(config, FILES))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"training": {"seed": 2}}, r"another setting: training.seed was 1, now 2; use another"),
        ({"training": {"steps": 9}}, "training.steps was None, now 9"),
        ({"model": {"hidden_units": [8]}}, r"model.hidden_units was \[128, 128\], now \[8\]"),
        ({"columns": {"x": "boolean"}}, "another setting: columns.ride."),
        ({"crosses": []}, None),
    ],
)
def test_another_config_is_refused(job_dir, sections, message):
    claimed(job_dir)
    if message is None:
        check_again(job_dir, **sections)
        return
    with pytest.raises(UserError, match=message) as refusal:
        check_again(job_dir, **sections)
    assert str(refusal.value).startswith(f"{job_dir} holds a run with another setting")
    assert "or discard it with --resume=restart" in str(refusal.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (FILES | {"gs://data/a.csv": "10-9"}, "a.csv was '10-1', now '10-9'"),
        (FILES | {"gs://data/c.csv": "1-1"}, "c.csv was None, now '1-1'"),
        ({"gs://data/a.csv": "10-1"}, "b.csv was '20-2', now None"),
    ],
)
def test_changed_data_files_are_refused(job_dir, files, message):
    claimed(job_dir)
    with pytest.raises(UserError, match=f"another data file: gs://data/{message}"):
        check_again(job_dir, files)


def test_only_what_a_run_wrote_is_discarded(job_dir):
    folder = claimed(job_dir)
    folder.complete({})
    mine = ["config.yaml", "statistics.json", "metrics.jsonl", "model/saved_model.pb"]
    mine += ["checkpoints/step-000000001/manifest.json", "logs/train/events.out.tfevents.1.host"]
    mine += ["logs/evaluator/validation/events.out.tfevents.2.host"]
    for name in [*mine, "notes.txt", "sample/train-0.csv"]:
        storage.write_text(folder.path(name), "")
    folder.discard()
    assert storage.list_dir(job_dir) == ["notes.txt", "sample"]
    assert not folder.is_complete()
    folder.discard()


def test_folders_that_hold_more_than_a_run_keep_it(tmp_path):
    """--model_dir, --checkpoint_dir and --log_dir may name a folder full of other things."""
    home = tmp_path / "home"
    theirs = ["thesis.tex", "train/data.csv", "variables.txt", "step-1/a", "assets-2/b"]
    mine = ["saved_model.pb", "step-000000064/manifest.json", "train/events.out.tfevents.1.host"]
    for name in [*theirs, *mine]:
        storage.write_text(str(home / name), "")
    output = dict.fromkeys(("model_dir", "checkpoint_dir", "log_dir"), str(home))
    output["job_dir"] = str(tmp_path / "run")
    RunFolder(config_of(output["job_dir"], output=output)).discard()
    left = [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]
    assert sorted(left) == sorted(theirs)


def test_a_half_discarded_run_does_not_look_complete(tmp_path, monkeypatch):
    folder = claimed(str(tmp_path))
    folder.complete({})
    remove, removed = storage.remove, []

    def spy(path):
        removed.append(os.path.basename(path))
        remove(path)

    monkeypatch.setattr(storage, "remove", spy)
    folder.discard()
    assert removed[0] == "COMPLETE"


def test_checksum_tells_runs_apart(job_dir):
    config = config_of(job_dir)
    one = RunFolder.checksum(RunFolder(config).identify(config, FILES))
    assert one == RunFolder.checksum(RunFolder(config).identify(config, dict(FILES)))
    assert one != RunFolder.checksum(RunFolder(config).identify(config, {"a": "1"}))
    assert 0 <= one < 2**24


def test_the_claim_is_readable(tmp_path):
    claimed(str(tmp_path))
    known = json.loads((tmp_path / "run.json").read_text())
    assert known["files"] == FILES
    assert known["settings"]["training.batch_size"] == "auto"
    assert known["settings"]["columns.ride.landmarks.airport"] == [40.6, -73.8]
    assert not any(key.startswith("output") for key in known["settings"])


def test_the_claim_removes_what_a_kill_left_half_written(tmp_path):
    half = [
        tmp_path / folder / f".{name}.{'0123456789abcdef' * 2}.tmp"
        for folder, name in [
            ("run", "metrics.jsonl"),
            ("run/checkpoints/step-000000062", "variables.index"),
            ("elsewhere/variables", "variables.index"),
            ("run", "evaluator.jsonl"),
        ]
    ]
    for path in half:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    job_dir = str(tmp_path / "run")
    output = {"job_dir": job_dir, "model_dir": str(tmp_path / "elsewhere")}
    config = config_of(job_dir, output=output)
    folder = RunFolder(config)
    folder.claim(folder.identify(config, FILES))
    # The evaluator is another process, which may be writing it now.
    assert [path for path in half if path.exists()] == half[-1:]


@pytest.mark.parametrize("name", ["model_dir", "checkpoint_dir"])
def test_a_folder_that_cannot_be_written_is_found_before_training(tmp_path, name):
    (tmp_path / "file").write_text("")
    output = {"job_dir": str(tmp_path / "run"), name: str(tmp_path / "file" / "sub")}
    config = config_of(str(tmp_path / "run"), output=output)
    folder = RunFolder(config)
    with pytest.raises(UserError, match=r"cannot write .*file/sub"):
        folder.claim(folder.identify(config, FILES))
    assert not (tmp_path / "run" / "run.json").exists()


def test_discard_removes_the_marker_first_and_the_identity_last(job_dir, monkeypatch):
    """A kill amid it leaves no complete run, and no checkpoints of which nobody knows the run."""
    folder = claimed(job_dir)
    storage.write_text(folder.path("checkpoints/step-000000001/manifest.json"), "")
    removed = []
    monkeypatch.setattr(storage, "remove", removed.append)
    folder.discard()
    assert removed[0] == storage.join(job_dir, "COMPLETE")
    assert removed[-1] == storage.join(job_dir, "run.json")
    assert storage.join(job_dir, "checkpoints", "step-000000001") in removed


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"settings": {}}', '{"settings": 1, "files": {}}', "[" * 100_000],
)
def test_damaged_claim_or_report_is_one_line(tmp_path, text):
    folder = RunFolder(config_of(str(tmp_path)))
    identity = folder.identify(config_of(str(tmp_path)), {})
    (tmp_path / "run.json").write_text(text)
    (tmp_path / "report.json").write_text(text)
    advice = "put back the one that the run wrote, or discard the run with --resume=restart"
    with pytest.raises(UserError, match=rf"run.json is damaged \(.*\); {advice}"):
        folder.check(identity)
    if not text.startswith('{"'):
        with pytest.raises(UserError, match=rf"report.json is damaged \(.*\); {advice}"):
            folder.read_report()
