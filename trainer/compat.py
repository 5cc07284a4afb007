"""The parameters of Google's removed workflow for wide and deep, as settings of this trainer.

One table says what each parameter means here; `flags.py` uses it under `--compat`. No TensorFlow.
Source: kubeflow/pipelines, the commit before 8e986f1692, preview/automl/tabular: names, values and
defaults of the trainer's pipeline; the study that it shipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from trainer.errors import UserError, nearest
from trainer.sections import Key

NAME = "google_wide_and_deep"

# Text -> value of our setting; None leaves it as it is.
Translate = Callable[[str], Any]


class Parameter(NamedTuple):
    """One parameter of the workflow.

    key: the setting that it is here.
    default: what the workflow had where it was not given; None: what the trainer has.
    translate: a text to the setting's value; a ValueError says what the text must be.
    """

    key: Key
    default: str | None = None
    translate: Translate = str


class _Owner(NamedTuple):
    """The setting that has to have a value for another one to count."""

    key: Key
    value: str


class Translation(NamedTuple):
    """Settings that parameters make.

    given: of the parameters that were given. defaults: of the workflow, below any config file.
    names: the parameter behind each setting of `given`.
    """

    given: dict[Key, Any]
    defaults: dict[Key, Any]
    names: dict[Key, str]


def translate(parameters: Mapping[str, str]) -> Translation:
    """What the given parameters, and the defaults of the others, set.

    An empty text is a parameter that was not given, as the workflow's own defaults have it. L2
    shrinkage and the betas are left out where the optimizer has none: there they had no effect.

    Raises:
        UserError: a value is none of the parameter's.
    """
    given: dict[Key, Any] = {}
    names: dict[Key, str] = {}
    for name, text in parameters.items():
        if name in IGNORED or not text.strip():
            continue
        for key, value in _settings(name, text).items():
            given[key], names[key] = value, name
    defaults = {
        parameter.key: value
        for parameter in PARAMETERS.values()
        if parameter.default is not None and parameter.key not in given
        if (value := parameter.translate(parameter.default)) is not None
    }
    both = defaults | given
    idle = {key for key, owner in _OWNERS.items() if both[owner.key] != owner.value}
    return Translation(
        {key: value for key, value in given.items() if key not in idle},
        {key: value for key, value in defaults.items() if key not in idle},
        names,
    )


def _settings(name: str, text: str) -> dict[Key, Any]:
    try:
        if name == _FEATURES:
            return _columns(text)
        if name == _WEIGHT:
            return {Key("columns", text): "weight"}
        if name in REFUSED:
            harmless, advice = REFUSED[name]
            if text.lower() != harmless:
                raise ValueError(advice)
            return {}
        value = PARAMETERS[name].translate(text)
    except ValueError as error:
        raise UserError(f"--{name} {error}; received {text!r}") from error
    return {} if value is None else {PARAMETERS[name].key: value}


def _columns(text: str) -> dict[Key, Any]:
    """Columns of the schema from `{"categorical": ["a", ...], "numeric": [...], ...}`."""
    expected = f"must be JSON such as {{{', '.join(f'{k!r}: [...]' for k in _KINDS)}}}"
    try:
        names_by_kind = json.loads(text)
    except ValueError as error:
        raise ValueError(expected) from error
    if not isinstance(names_by_kind, dict):
        raise ValueError(expected)
    if names_by_kind.get("auto"):
        raise ValueError(
            "lists columns under auto, whose kinds nobody looked at; let `python -m trainer.init` "
            "write them into a config, and give --config"
        )
    columns: dict[Key, Any] = {}
    for kind, names in names_by_kind.items():
        if kind not in (*_KINDS, "auto") or not isinstance(names, list):
            raise ValueError(expected + nearest(kind, _KINDS))
        columns |= {Key("columns", str(name)): _KINDS[kind] for name in names}
    return columns


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError("must be a number") from error


def _above_zero(text: str) -> str | None:
    """A number, of which 0 and -1 say that there is none."""
    return text if _number(text) > 0 else None


def _yes_or_no(yes: Any, no: Any) -> Translate:
    """Of true or false, also as 1 or 0."""
    translate_choice = _one_of({"true": yes, "false": no})
    return lambda text: translate_choice({"1": "true", "0": "false"}.get(text, text))


def _one_of(values: Mapping[str, Any]) -> Translate:
    def translate_choice(text: str) -> Any:
        if text.lower() not in values:
            raise ValueError(f"must be one of {', '.join(values)}{nearest(text, values)}")
        return values[text.lower()]

    return translate_choice


def _metric(text: str) -> str:
    """Of a regression, rmse puts weights in the order of the mean squared error."""
    return "auto" if text in ("loss", "average_loss") else text


def _whole_set(text: str) -> None:
    if _number(text) > 0:
        raise ValueError("counted batches there; give --eval_rows, which counts rows, instead")


def _of_part(prefix: str, part: str) -> dict[str, Parameter]:
    """The parameters that both parts have."""
    own = {
        "learning_rate": ("learning_rate", None),
        "optimizer_type": ("optimizer", "adam"),
        "l1_regularization_strength": ("l1", "0"),
        "l2_regularization_strength": ("l2", "0"),
        "l2_shrinkage_regularization_strength": ("l2_shrinkage", "0"),
        "beta_1": ("beta_1", "0.9"),
        "beta_2": ("beta_2", "0.999"),
    }
    return {
        prefix + name: Parameter(Key("optimizer", f"{part}_{ours}"), default)
        for name, (ours, default) in own.items()
    }


_FEATURES, _WEIGHT = "tf_auto_transform_features", "weight_column"
_KINDS = {
    "categorical": "categorical",
    "numeric": "numeric",
    "text": "text",
    "timestamp": "datetime",
}
_OWN_FEATURES = "is not read; write the columns into a config, as python -m trainer.init does"
_OF_A_STUDY = "is of the tuning job, not of a trial; see configs/tuning_google_wide_and_deep.yaml"
_OTHER_SPLIT = "is not read; split by --split_column, or give --train, --validation and --test"

PARAMETERS: dict[str, Parameter] = {
    # The 21 of the study.
    **_of_part("", "wide"),
    **_of_part("dnn_", "deep"),
    "max_steps": Parameter(Key("training", "steps"), "-1", _above_zero),
    "max_train_secs": Parameter(Key("training", "max_seconds"), "-1", _above_zero),
    "hidden_units": Parameter(Key("model", "hidden_units"), "30,30,30"),
    "use_wide": Parameter(Key("model", "towers"), "true", _yes_or_no("both", "deep")),
    # Embeddings as wide as the square root of the number of categories, or none.
    "embed_categories": Parameter(Key("model", "embedding_dim"), "true", _yes_or_no("sqrt", 0)),
    "dnn_dropout": Parameter(Key("model", "dropout"), "0"),
    "batch_size": Parameter(Key("training", "batch_size"), "100"),
    # Further ones of the trainer.
    "seed": Parameter(Key("training", "seed"), "1"),
    "eval_steps": Parameter(Key("evaluation", "eval_rows"), "0", _whole_set),
    "eval_frequency_secs": Parameter(Key("training", "checkpoint_seconds"), "600"),
    "cache_data": Parameter(
        Key("data", "storage"),
        "auto",
        _one_of({"auto": "auto", "true": "memory", "false": "stream"}),
    ),
    "measurement_selection_type": Parameter(
        Key("training", "keep_weights"),
        "best_measurement",
        _one_of({"best_measurement": "best", "last_measurement": "last"}),
    ),
    "optimization_metric": Parameter(Key("training", "monitor"), "loss", _metric),
    # The table.
    "data_source_csv_filenames": Parameter(Key("data", "train")),
    "validation_fraction": Parameter(Key("data", "validation_fraction"), "-1", _above_zero),
    "test_fraction": Parameter(Key("data", "test_fraction"), "-1", _above_zero),
    "target_column": Parameter(Key("label", "column")),
    "prediction_type": Parameter(
        Key("label", "task"),
        None,
        _one_of({"classification": "multiclass", "regression": "regression"}),
    ),
}
# What there is no counterpart of: the value that says so, and what to do instead of others.
REFUSED = {
    "data_source_bigquery_table_path": ("", "is not read; export it to files, and give --train"),
    "predefined_split_key": ("", _OTHER_SPLIT),
    "stratified_split_key": ("", _OTHER_SPLIT),
    "tf_transformations_path": ("", _OWN_FEATURES),
    "transform_config": ("", _OWN_FEATURES),
    "tf_custom_transformation_definitions": ("[]", _OWN_FEATURES),
    "dataset_level_transformations": ("[]", _OWN_FEATURES),
    "dataset_level_custom_transformation_definitions": ("[]", _OWN_FEATURES),
    **{
        name: ("", _OF_A_STUDY)
        for name in (
            *("study_spec_metric_id", "study_spec_metric_goal", "study_spec_algorithm"),
            *("study_spec_parameters_override", "study_spec_measurement_selection_type"),
            *("max_trial_count", "parallel_trial_count", "max_failed_trial_count"),
        )
    },
    "run_feature_selection": ("false", "has no counterpart; leave columns out by hand"),
    "enable_profiler": ("false", "has no counterpart; give --profile_steps"),
}
# Settings that only one optimizer has.
_OWNERS = {
    Key("optimizer", f"{part}_{name}"): _Owner(Key("optimizer", f"{part}_optimizer"), optimizer)
    for part in ("wide", "deep")
    for name, optimizer in (("l2_shrinkage", "ftrl"), ("beta_1", "adam"), ("beta_2", "adam"))
}
# About the pipeline, its machines and its model registry; here a job's YAML says that.
IGNORED = frozenset(
    (
        *("project", "location", "root_dir", "vertex_dataset", "training_fraction"),
        *("dataflow_service_account", "dataflow_subnetwork", "dataflow_use_public_ips"),
        *("encryption_spec_key_name", "parent_model", "model_display_name", "model_description"),
        *("transform_dataflow_machine_type", "transform_dataflow_max_num_workers"),
        *("transform_dataflow_disk_size_gb", "worker_pool_specs_override", "run_evaluation"),
        *("bigquery_staging_full_dataset_id", "materialized_examples_format"),
        *("tf_transform_execution_engine", "feature_selection_algorithm", "max_selected_features"),
        *("evaluation_batch_predict_machine_type", "evaluation_dataflow_machine_type"),
        *("evaluation_batch_predict_starting_replica_count", "evaluation_dataflow_disk_size_gb"),
        *("evaluation_batch_predict_max_replica_count", "evaluation_dataflow_max_num_workers"),
        "evaluation_dataflow_starting_num_workers",
    )
)
# All names that `translate` takes.
NAMES = frozenset((*PARAMETERS, *REFUSED, *IGNORED, _FEATURES, _WEIGHT))
