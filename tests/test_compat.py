"""trainer.compat and its flags: the removed workflow's parameters as this trainer's settings."""

import json
from pathlib import Path

import pytest

from trainer import compat
from trainer.cli import load_config
from trainer.errors import UserError
from trainer.sections import Key

STUDY = Path(__file__).parents[2] / "shared/data/google_wide_and_deep_study.json"
# The parameters of the workflow's study. Source: its study specification, see `trainer.compat`.
STUDY_NAMES = {
    *("max_steps", "max_train_secs", "hidden_units", "use_wide", "embed_categories"),
    *("dnn_dropout", "batch_size"),
    *(
        prefix + name
        for prefix in ("", "dnn_")
        for name in (
            *("learning_rate", "optimizer_type", "beta_1", "beta_2"),
            *(f"{p}_regularization_strength" for p in ("l1", "l2", "l2_shrinkage")),
        )
    ),
}
TABLE = """
columns: {age: numeric, city: categorical}
label: {column: y, task: binary}
"""


def load(tmp_path, *flags, yaml=TABLE):
    (tmp_path / "run.yaml").write_text(yaml)
    config = f"--config={tmp_path / 'run.yaml'}"
    return load_config([config, f"--compat={compat.NAME}", *flags], {}).config


def test_the_21_parameters_of_the_study_are_known():
    assert len(STUDY_NAMES) == 21
    assert compat.PARAMETERS.keys() >= STUDY_NAMES


@pytest.mark.skipif(not STUDY.exists(), reason="the workflow's study is not part of the project")
def test_every_value_of_the_study_is_a_setting(tmp_path):
    study = json.loads(STUDY.read_text())
    assert {p["parameter_id"] for p in study} == STUDY_NAMES
    for parameter in study:
        spec = next(value for key, value in parameter.items() if key.endswith("_value_spec"))
        for value in spec.get("values", [spec.get("min_value"), spec.get("max_value")]):
            text = value if isinstance(value, str) else float(value)
            load(tmp_path, f"--{parameter['parameter_id']}={text}")


def test_defaults_are_those_of_the_workflow(tmp_path):
    config = load(tmp_path)
    assert config.model.hidden_units == (30, 30, 30)
    assert (config.model.dropout, config.model.towers) == (0, "both")
    assert config.model.embedding_dim == "sqrt"
    assert (config.optimizer.wide_optimizer, config.optimizer.deep_optimizer) == ("adam", "adam")
    assert (config.training.batch_size, config.training.seed) == (100, 1)
    assert config.training.checkpoint_seconds == 600


def test_the_config_file_is_above_the_workflows_defaults_and_below_its_flags(tmp_path):
    yaml = TABLE + "model: {hidden_units: [8], dropout: 0.3}\ntraining: {epochs: 3}\n"
    config = load(tmp_path, "--dnn_dropout=0.1", "--max_steps=5000.0", yaml=yaml)
    assert config.model.hidden_units == (8,)
    assert config.model.dropout == 0.1
    assert (config.training.steps, config.training.epochs) == (5000, None)


@pytest.mark.parametrize(
    ("flags", "key", "value"),
    [
        (["--max_steps=-1"], Key("training", "steps"), None),
        (["--max_train_secs=60"], Key("training", "max_seconds"), 60),
        (["--use_wide=false"], Key("model", "towers"), "deep"),
        (["--use_wide=1"], Key("model", "towers"), "both"),
        (["--optimizer_type=Adam"], Key("optimizer", "wide_optimizer"), "adam"),
        (["--optimization_metric="], Key("training", "monitor"), "auto"),
        (["--tf_custom_transformation_definitions=[]"], Key("training", "seed"), 1),
        (["--embed_categories=False"], Key("model", "embedding_dim"), 0),
        (["--learning_rate=0.0003"], Key("optimizer", "wide_learning_rate"), 0.0003),
        (["--dnn_learning_rate=0.0003"], Key("optimizer", "deep_learning_rate"), 0.0003),
        (["--dnn_beta_2=0.8"], Key("optimizer", "deep_beta_2"), 0.8),
        (["--batch_size=1024.0"], Key("training", "batch_size"), 1024),
        (
            ["--measurement_selection_type=LAST_MEASUREMENT"],
            Key("training", "keep_weights"),
            "last",
        ),
        (["--cache_data=false"], Key("data", "storage"), "stream"),
        (["--optimization_metric=auc"], Key("training", "monitor"), "auc"),
        (["--optimization_metric=average_loss"], Key("training", "monitor"), "auto"),
        (["--data_source_csv_filenames=a.csv,b.csv"], Key("data", "train"), ("a.csv", "b.csv")),
        (["--validation_fraction=0.1"], Key("data", "validation_fraction"), 0.1),
        (["--patience=3"], Key("training", "patience"), 3),
        (["--project=p", "--root_dir=gs://b"], Key("training", "seed"), 1),
    ],
)
def test_a_parameter_is_the_setting(tmp_path, flags, key, value):
    config = load(tmp_path, *flags)
    assert getattr(getattr(config, key.section), key.name) == value


def test_what_is_about_the_pipeline_is_said_to_be_ignored(tmp_path):
    (tmp_path / "run.yaml").write_text(TABLE)
    flags = [f"--config={tmp_path / 'run.yaml'}", f"--compat={compat.NAME}"]
    invocation = load_config([*flags, "--project=p", "--max_steps=3", "--location=l"], {})
    assert invocation.ignored == ("--project", "--location")


@pytest.mark.parametrize("name", sorted(compat.NAMES))
def test_an_empty_parameter_is_none(tmp_path, name):
    required = ["--learning_rate=0.1", "--dnn_learning_rate=0.2"]
    assert load(tmp_path, *required, f"--{name}=") == load(
        tmp_path, *(flag for flag in required if not flag.startswith(f"--{name}="))
    )


def test_what_an_optimizer_lacks_has_no_effect(tmp_path):
    shrinkage = "--l2_shrinkage_regularization_strength=0.01"
    betas = ["--beta_1=0.7", "--beta_2=0.8"]
    with_adam = load(tmp_path, "--optimizer_type=adam", shrinkage, *betas).optimizer
    assert with_adam.wide_l2_shrinkage == 0
    assert (with_adam.wide_beta_1, with_adam.wide_beta_2) == (0.7, 0.8)
    with_ftrl = load(tmp_path, "--optimizer_type=ftrl", shrinkage, *betas).optimizer
    assert with_ftrl.wide_l2_shrinkage == 0.01
    assert (with_ftrl.wide_beta_1, with_ftrl.wide_beta_2) == (0.9, 0.999)


def test_flags_alone_describe_a_table():
    features = {"categorical": ["city"], "numeric": ["age"], "timestamp": ["when"]}
    invocation = load_config(
        [
            "--compat=google_wide_and_deep",
            "--target_column=y",
            "--prediction_type=classification",
            "--weight_column=w",
            f"--tf_auto_transform_features={json.dumps(features)}",
            "--data_source_csv_filenames=t.csv",
        ],
        {},
    )
    config = invocation.config
    kinds = {name: column.kind for name, column in config.columns.items()}
    assert kinds == {"city": "categorical", "age": "numeric", "when": "datetime", "w": "weight"}
    assert (config.label.column, config.label.task) == ("y", "multiclass")
    assert config.output.job_dir == "runs/google_wide_and_deep"


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--use_wide=maybe", "--use_wide must be one of true, false; received 'maybe'"),
        ("--max_steps=many", "--max_steps must be a number; received 'many'"),
        ("--eval_steps=10", "--eval_steps counted batches there; give --eval_rows"),
        ("--predefined_split_key=part", "--predefined_split_key is not read; split by"),
        ("--max_trial_count=30", "--max_trial_count is of the tuning job, not of a trial; see"),
        ("--transform_config=gs://b/c.json", "--transform_config is not read; write the columns"),
        ("--hidden_units=[]", "--hidden_units is empty; use model.towers: wide for no deep part"),
        ("--run_feature_selection=true", "--run_feature_selection has no counterpart"),
        ("--tf_auto_transform_features=[]", "--tf_auto_transform_features must be JSON such as"),
        ('--tf_auto_transform_features={"auto": ["a"]}', "whose kinds nobody looked at"),
        ('--tf_auto_transform_features={"number": []}', "did you mean 'numeric'?"),
        ("--beta_1=1.5", "--beta_1 must be less than 1"),
        ("--max_step=3", "--max_step: unknown flag; did you mean '--max_steps'?"),
    ],
)
def test_values_that_nothing_here_can_be(tmp_path, flag, message):
    with pytest.raises(UserError) as caught:
        load(tmp_path, flag)
    assert message in str(caught.value)


def test_the_way_is_named():
    with pytest.raises(UserError, match="--compat must be google_wide_and_deep; received 'xgb'"):
        load_config(["--compat=xgb"], {})
    with pytest.raises(UserError, match="--max_steps is of another trainer; add --compat=google"):
        load_config(["--max_steps=5"], {})
