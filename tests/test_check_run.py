import pytest
from check_jobs import CPU, NAMES, TUNING, WORKERS, find, read

from trainer import storage
from trainer.jobs.check_data import Cloud
from trainer.jobs.check_run import read_run

L4 = "g2-standard-48, acceleratorType: NVIDIA_L4, acceleratorCount: 4"
CONFIG = """\
data: {train: gs://bucket/t.csv, validation: gs://bucket/t.csv}
label: {column: y, task: binary}
columns: {x: numeric}
"""


def arguments(*flags):
    return "[]", "[" + ", ".join(f"'{flag}'" for flag in flags) + "]"


@pytest.mark.parametrize(
    "flags",
    [
        ("--strategy=one_device",),
        ("--batch_size", "512", "--epochs", "2"),
        ("--batch_size=512.0", "--batch_size=1024"),
        ("--hidden_units=[64,32]", "--standardize_target=false"),
        ("--steps=100",),
        ("--job_dir=gs://b/x", "--checkpoint_dir=/gcs/b/c"),
    ],
)
def test_arguments_that_the_trainer_takes(tmp_path, flags):
    assert find(tmp_path, CPU, arguments(*flags)) == []


@pytest.mark.parametrize(
    ("flags", "place", "message"),
    [
        (("--epochs=2", "--dropout=1"), "args[1]", "--dropout must be less than 1"),
        (("--epochs=2", "--bath_size=1"), "args[1]", "unknown flag; did you mean '--batch_size'"),
        (("--epochs",), "args[0]", "--epochs needs a value"),
        (("--loss=log_loss",), "args[0]", "does not fit label.task"),
        (("--print_config",), "args", "only print something and end"),
        (("--version",), "args", "only print something and end"),
        (("--config=no.yaml",), "args[0]", "no.yaml is a path of this machine"),
    ],
)
def test_arguments_that_the_trainer_refuses(tmp_path, flags, place, message):
    found = find(tmp_path, CPU, arguments(*flags))

    assert len(found) == 1 and message in found[0]
    assert found[0].startswith(f"error workerPoolSpecs[0].containerSpec.{place}: ")


def test_trial_is_told_the_same(tmp_path):
    found = find(tmp_path, TUNING, arguments("--batchsize=1"))

    assert len(found) == 1 and "trialJobSpec.workerPoolSpecs[0].containerSpec.args[0]" in found[0]


def test_config_that_will_be_uploaded_is_read_here(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.replace("numeric", "numerics"))

    found = find(tmp_path, CPU, arguments(f"--config={path}"), uploads=[str(path)])

    assert len(found) == 1 and "unknown kind 'numerics'" in found[0]
    path.write_text(CONFIG)
    assert find(tmp_path, CPU, arguments(f"--config={path}"), uploads=[str(path)]) == []


def test_config_of_the_image_is_only_a_warning(tmp_path):
    found = find(tmp_path, CPU, arguments("--config=/opt/no-such/config.yaml"))

    assert len(found) == 1
    assert found[0].startswith("warning") and "unless the image has it" in found[0]


def test_config_in_the_cloud_is_read(tmp_path, emulator):
    storage.write_text(f"{emulator}/c.yaml", CONFIG)
    storage.write_text(f"{emulator}/t.csv", "x,y\n1,0\n")
    names = {**NAMES, "BUCKET": "bucket"}

    def errors(*flags):
        found = find(tmp_path, CPU, arguments(*flags), names=names, read_data=True)
        return [line for line in found if line.startswith("error")]

    assert errors("--config=gs://bucket/c.yaml", "--monitor=auc") == []
    assert "label.task binary" in errors("--config=/gcs/bucket/c.yaml", "--monitor=rmse")[0]
    assert (
        "cannot read gs://bucket/d.yaml: it does not exist"
        in (errors("--config=gs://bucket/d.yaml")[0])
    )


def test_flags_are_checked_one_by_one_where_the_config_is_out_of_reach(tmp_path):
    config = "--config=gs://b/c.yaml"

    # Whether it fits depends on the label in the config.
    assert find(tmp_path, CPU, arguments(config, "--loss=log_loss", "--monitor=auc")) == []
    found = find(tmp_path, CPU, arguments(config, "--dropout=2"))
    assert len(found) == 1 and "dropout must be less than 1" in found[0]
    # Half of a pair of which the other half may stand in the config.
    assert find(tmp_path, CPU, arguments(config, "--split_column=key")) == []


@pytest.mark.parametrize(
    ("text", "machine", "strategy", "message"),
    [
        (CPU, "n2-standard-8", "one_device", None),
        (CPU, L4, "mirrored", None),
        (CPU, L4, "one_device", "leaves 3 of 4 GPUs idle"),
        (CPU, L4, "auto", None),
        (CPU, "ct5lp-hightpu-4t, tpuTopology: 2x2", "tpu", None),
        (CPU, "ct5lp-hightpu-4t, tpuTopology: 2x2", "mirrored", "needs no TPU"),
        (CPU, L4, "tpu", "needs a TPU"),
        (CPU, L4, "multi_worker_mirrored", "does not fit the chief and 0 worker(s)"),
        (CPU, L4, "parameter_server", "has no parameter servers"),
    ],
)
def test_strategy_fits_the_pools(tmp_path, text, machine, strategy, message):
    found = find(tmp_path, text, ("n2-standard-8", machine), arguments(f"--strategy={strategy}"))

    assert [message in line for line in found] == ([True] if message else [])


def test_strategy_of_several_workers(tmp_path):
    def run(strategy):
        text = WORKERS.replace('"--batch_size=300"', f'"--batch_size=300", "--strategy={strategy}"')
        return find(tmp_path, text)

    assert run("auto") == run("multi_worker_mirrored") == []
    assert "does not fit the chief and 2 worker(s)" in run("mirrored")[0]


@pytest.mark.parametrize(("batch_size", "is_fine"), [(4, True), (4096, True), (4094, False)])
def test_batch_is_cut_for_all_gpus(tmp_path, batch_size, is_fine):
    found = find(tmp_path, CPU, ("n2-standard-8", L4), arguments(f"--batch_size={batch_size}"))

    assert (found == []) == is_fine
    assert is_fine or "multiple of the 4 devices; received 4094. Use 4092 or 4096" in found[0]


def test_spot_goes_on_from_checkpoints(tmp_path):
    spot = ("3600s", "3600s, strategy: SPOT")

    assert find(tmp_path, CPU, spot) == []
    found = find(tmp_path, CPU, spot, arguments("--resume=restart"))
    assert len(found) == 1 and "would begin anew each time" in found[0]
    both = arguments("--checkpoint_seconds=0", "--checkpoint_steps=100")
    assert find(tmp_path, CPU, spot, both) == []


def test_other_program_has_no_run(tmp_path):
    job = read(tmp_path, CPU, ("args: []", "command: [bash]"))

    assert read_run(job, Cloud(is_allowed=False)) == ([], None)
