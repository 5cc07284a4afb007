import json
import types
from pathlib import Path

import pytest

from trainer import cli
from trainer.cli import config_yaml, load_config
from trainer.config import SECTIONS, Config, parse_config
from trainer.errors import UserError

REPOSITORY_DIR = Path(__file__).resolve().parent.parent
SCHEMA = """
columns: {age: numeric, job: categorical}
label: {column: y, task: binary}
"""


@pytest.fixture
def write(tmp_path):
    """Writes a config of the smallest schema and `text` and gives its path."""

    def write_config(text: str = "", schema: str = SCHEMA) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(schema + text, encoding="utf-8")
        return str(path)

    return write_config


def load(path: str, *flags: str, **environ: str) -> Config:
    return load_config(["--config", path, *flags], environ).config


# --- precedence ---


def test_yaml_beats_default_and_flag_beats_yaml(write):
    path = write("training: {seed: 7, patience: 3}")
    config = load(path, "--patience=4")
    assert (config.training.seed, config.training.patience) == (7, 4)
    assert config.training.keep_checkpoints == 2  # the default


def test_environment_beats_yaml_and_flag_beats_environment(write):
    path = write("output: {model_dir: yaml_model, log_dir: yaml_logs, checkpoint_dir: yaml_ckpt}")
    config = load(
        path,
        "--log_dir=flag_logs",
        AIP_MODEL_DIR="gs://b/r/model/",
        AIP_TENSORBOARD_LOG_DIR="gs://b/r/logs/",
    )
    assert config.output.model_dump() == {
        "job_dir": "gs://b/r",
        "model_dir": "gs://b/r/model/",
        "checkpoint_dir": "yaml_ckpt",
        "log_dir": "flag_logs",
        "experiment": None,
    }


def test_managed_dataset_replaces_the_files_and_fractions_of_the_yaml(write):
    path = write("data: {train: a.csv, validation_fraction: 0.1, test_fraction: 0.1}")
    config = load(
        path,
        AIP_DATA_FORMAT="csv",
        AIP_TRAINING_DATA_URI="gs://b/training-*",
        AIP_VALIDATION_DATA_URI="gs://b/validation-*,x",
        AIP_TEST_DATA_URI="gs://b/test-*",
    )
    assert config.data.train == ("gs://b/training-*",)
    assert config.data.validation == ("gs://b/validation-*,x",)
    assert config.data.test == ("gs://b/test-*",)
    assert (config.data.validation_fraction, config.data.test_fraction) == (0, 0)


def test_sources_say_where_each_setting_comes_from(write):
    path = write("training: {seed: 7, patience: 3}")
    invocation = load_config(
        ["--config", path, "--patience=4"], {"AIP_CHECKPOINT_DIR": "gs://b/c/"}
    )
    assert invocation.sources == {
        "training.seed": path,
        "training.patience": "--patience",
        "output.checkpoint_dir": "AIP_CHECKPOINT_DIR",
    }
    assert cli.describe_sources(invocation) == (f"{path} with --patience, AIP_CHECKPOINT_DIR")


@pytest.mark.parametrize(
    ("text", "flags", "kept"),
    [
        ("training: {epochs: 3}", ["--steps=100"], {"epochs": None, "steps": 100}),
        ("training: {steps: 3}", ["--num_train_examples=9"], {"steps": None}),
        ("training: {num_evals: 3}", ["--eval_steps=10"], {"num_evals": 0, "eval_steps": 10}),
        ("training: {epochs: 3}", ["--steps="], {"epochs": 3.0, "steps": None}),
        ("training: {epochs: 3}", ["--epochs=4"], {"epochs": 4.0}),
    ],
)
def test_flag_puts_other_ways_to_say_the_same_aside(write, text, flags, kept):
    training = load(write(text), *flags).training
    assert {name: getattr(training, name) for name in kept} == kept


def test_fraction_of_zero_does_not_put_the_files_aside(write):
    data = load(write("data: {validation: v.csv}"), "--validation_fraction=0").data
    assert data.validation == ("v.csv",)


def test_two_ways_on_one_command_line_stay_an_error(write):
    with pytest.raises(UserError, match=r"give one of .*received epochs, steps"):
        load(write(), "--steps=10", "--epochs=2")


# --- values as a shell and a tuning service write them ---


def test_flags_take_the_texts_of_a_shell_and_of_a_study(write):
    config = load(
        write(),
        "--batch_size=128.0",
        "--seed",
        "6.4e1",
        "--hidden_units=128,64",
        "--deep_learning_rate=1e-4",
        "--xla=true",
        "--standardize_target",
        "False",
        "--column_names=age,pickup hour,y",
        '--null_values=["", "a,b"]',
        "--train=gs://b/a b-*.csv,c.csv",
        "--embedding_dim=8",
        "--epochs=0.5",
    )
    assert (config.training.batch_size, config.training.seed) == (128, 64)
    assert config.model.hidden_units == (128, 64)
    assert config.optimizer.deep_learning_rate == 0.0001
    assert (config.training.xla, config.model.standardize_target) == (True, False)
    assert config.data.column_names == ("age", "pickup hour", "y")
    assert config.data.null_values == ("", "a,b")
    assert config.data.train == ("gs://b/a b-*.csv", "c.csv")
    assert (config.model.embedding_dim, config.training.epochs) == (8, 0.5)


def test_yaml_takes_a_number_in_exponent_form_and_an_empty_section(write):
    config = load(write("optimizer: {deep_learning_rate: 1e-4}\ntraining:\ncrosses:\n"))
    assert config.optimizer.deep_learning_rate == 0.0001
    assert config.training.seed == 1
    assert config.crosses == ()


# --- errors name their origin ---


@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        ("", ["--batch_size=64.5"], r"^--batch_size must .*received '64\.5'"),
        ("", ["--dropout", "1"], r"^--dropout .*received '1'$"),
        ("", ["--xla=maybe"], r"^--xla must .*received 'maybe'$"),
        ("", ["--wide_optimizer=adm"], r"^--wide_optimizer must .*received 'adm'"),
        ("training: {seed: -1}", [], r"^PATH: training\.seed must .*received -1$"),
        ("training: {seed: -1}", ["--seed=-2"], r"^--seed must .*received '-2'$"),
        ("training: {sed: 1}", [], r"^PATH: training\.sed: unknown key; did you mean 'seed'\?$"),
        ("trainin: {seed: 1}", [], r"^PATH: trainin: unknown key; did you mean 'training'\?$"),
        ("training: [1]", ["--seed=2"], r"^PATH: training must "),
        ("output: {job_dir: 7}", [], r"^PATH: output\.job_dir must be a text; received 7$"),
        ("output: [1]", [], r"^PATH: output must "),
        (
            "training: {seed: -1}",
            ["--dropout=1"],
            r"^PATH: --dropout must .*; training\.seed must ",
        ),
    ],
)
def test_message_names_the_flag_or_the_file(write, text, flags, message):
    path = write(text)
    with pytest.raises(UserError, match=message.replace("PATH", path)) as caught:
        load(path, *flags)
    assert "\n" not in str(caught.value)


def test_overridden_value_of_the_yaml_is_not_validated(write):
    assert load(write("training: {seed: -1}"), "--seed=2").training.seed == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"- a", "must be a mapping"),
        (b"columns:\n\tage: numeric", ":2: found character"),
        (b"columns: {age: numeric}\ncolumns: {}", ":2: the key 'columns' stands twice"),
        (b"columns: {age: numeric}", "label is missing"),
        (b"columns: \xff", "is not UTF-8 text"),
    ],
)
def test_unreadable_file_is_one_line(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        load(str(path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_absent_config_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"absent\.yaml"):
        load(str(tmp_path / "absent.yaml"))


def test_config_is_read_through_storage(monkeypatch):
    read = {"gs://b/configs/base.yaml": SCHEMA}
    monkeypatch.setattr("trainer.storage.read_text", read.__getitem__)
    assert load("gs://b/configs/base.yaml").output.job_dir == "runs/base"


# --- output folders ---


def test_local_run_goes_to_a_folder_named_like_the_config(write):
    output = load(write()).output
    assert output.job_dir == "runs/mine"
    assert output.model_dir is output.checkpoint_dir is output.log_dir is None


def test_trial_on_vertex_uses_its_own_folders_as_they_are(write):
    config = load(
        write(),
        CLOUD_ML_PROJECT_ID="123",
        CLOUD_ML_TRIAL_ID="3",
        AIP_MODEL_DIR="gs://b/hp/3/model/",
        AIP_CHECKPOINT_DIR="gs://b/hp/3/checkpoints/",
        AIP_TENSORBOARD_LOG_DIR="gs://b/hp/3/logs/",
    )
    assert config.output.model_dump() == {
        "job_dir": "gs://b/hp/3",
        "model_dir": "gs://b/hp/3/model/",
        "checkpoint_dir": "gs://b/hp/3/checkpoints/",
        "log_dir": "gs://b/hp/3/logs/",
        "experiment": None,
    }


def test_trial_gets_a_folder_of_its_own_wherever_vertex_does_not_give_one(write):
    path = write("output: {job_dir: gs://b/study/}")
    assert load(path, CLOUD_ML_TRIAL_ID="3").output.job_dir == "gs://b/study/3"
    assert load(write(), CLOUD_ML_TRIAL_ID="3").output.job_dir == "runs/mine/3"
    output = load(path, "--model_dir=/m", "--job_dir=/j", CLOUD_ML_TRIAL_ID="4").output
    assert (output.job_dir, output.model_dir) == ("/j/4", "/m/4")


def test_trial_of_tf_config_counts(write):
    tf_config = {"cluster": {}, "task": {"type": "chief", "index": 0, "trial": "5"}}
    assert load(write(), TF_CONFIG=json.dumps(tf_config)).output.job_dir == "runs/mine/5"


CLOUD = {
    "project number": {"CLOUD_ML_PROJECT_ID": "123"},
    "cluster spec": {
        "CLUSTER_SPEC": json.dumps(
            {
                "cluster": {"chief": ["a:2222"]},
                "environment": "cloud",
                "task": {"type": "chief", "index": 0},
            }
        )
    },
}


@pytest.mark.parametrize("environ", CLOUD.values(), ids=CLOUD)
def test_cloud_without_output_folder_is_refused(write, environ):
    with pytest.raises(UserError, match=r"^baseOutputDirectory is missing.*outputUriPrefix: gs://"):
        load(write(), **environ)


@pytest.mark.parametrize("environ", CLOUD.values(), ids=CLOUD)
@pytest.mark.parametrize("flag", ["--job_dir=gs://b/r", "--model_dir=gs://b/r/model"])
def test_cloud_takes_an_explicit_folder(write, environ, flag):
    assert load(write(), flag, **environ).output.job_dir == "gs://b/r"


def test_cloud_takes_the_folder_of_the_yaml(write):
    path = write("output: {job_dir: gs://b/r}")
    assert load(path, CLOUD_ML_PROJECT_ID="123").output.job_dir == "gs://b/r"


# --- the embedded config and printing ---


def test_without_config_the_embedded_taxi_rides_are_trained():
    config = load_config([], {}).config
    assert config.data.train == ("sample:train",)
    assert config.label.column == "fare_amount"
    assert config.output.job_dir == "runs/taxifare_sample"
    assert [cross.name for cross in config.crosses] == [
        "pickup_datetime.day_of_week_x_pickup_datetime.hour",
        "pickup_latitude_cell_x_pickup_longitude_cell",
        "dropoff_latitude_cell_x_dropoff_longitude_cell",
        "pickup_latitude_cell_x_pickup_longitude_cell"
        "_x_dropoff_latitude_cell_x_dropoff_longitude_cell",
    ]


def test_embedded_config_is_the_one_in_configs():
    link = REPOSITORY_DIR / "configs/taxifare_sample.yaml"
    assert link.resolve() == Path(cli.DEFAULT_CONFIG_PATH)
    assert link.readlink() == Path("../trainer/taxifare_sample.yaml")


TREACHEROUS_SCHEMA = """
columns:
  y:
    kind: categorical
    vocabulary: ['no', '1e4', '02134', '', '2020-01-01', "a: b"]
  n: {kind: numeric, clip: [-1e20, 1e-7], scale: log1p}
  t: {kind: datetime, format: epoch_seconds, cyclic: [hour]}
  b: boolean
  i: {kind: identity, size: 5, towers: [wide]}
  e: {kind: bucketized, edges: [0.1, 1e20]}
  g: {kind: geo, from_point: [n, n2], to_point: [n3, n4], landmarks: {JFK: [1, 2]}}
  w: weight
  k: key
  ignored: {kind: ignore}
crosses:
  - {columns: [y, b], bins: 7, towers: [wide, deep], embedding_dim: 3}
label: {column: l, task: binary, positive: 'yes'}
data: {train: ['a,b.csv'], null_values: ['', 'null'], delimiter: "\\t", split_column: ignored,
  validation_fraction: 0.1}
training: {batch_size: 64, epochs: 0.5}
"""


@pytest.mark.parametrize("schema", [SCHEMA, TREACHEROUS_SCHEMA])
def test_printed_config_reads_back_as_an_equal_one(write, tmp_path, schema):
    config = load(write(schema=schema), "--job_dir=/j", "--deep_learning_rate=1e-5")
    printed = tmp_path / "printed.yaml"
    printed.write_text(config_yaml(config), encoding="utf-8")
    again = load(str(printed))
    assert again == config
    assert config_yaml(again) == config_yaml(config)


def test_printed_config_omits_none_and_names_kinds(write):
    text = config_yaml(load(write()))
    assert "None" not in text.replace(
        "null_values: ['', NA, N/A, NaN, nan, 'null', 'NULL', None]", ""
    )
    assert "\n    kind: numeric" in text
    assert "hidden_units: [128, 128]" in text
    assert "steps:" not in text.replace("_steps:", "")


def test_none_is_the_default_of_every_setting_that_allows_it():
    # Else a None that was given would be lost in the printed config, which omits it.
    for model in SECTIONS.values():
        for name, info in model.model_fields.items():
            if types.NoneType in getattr(info.annotation, "__args__", ()):
                assert info.default is None, name


def test_parse_config_agrees_with_the_loader(write):
    values = {
        "columns": {"age": "numeric", "job": "categorical"},
        "label": {"column": "y", "task": "binary"},
        "output": {"job_dir": "runs/mine"},
    }
    assert load(write()) == parse_config(values, "x")
