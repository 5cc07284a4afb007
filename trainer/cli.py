"""Flags, config file and environment to one config; no TensorFlow.

The only place that knows the precedence: defaults < those of --compat < YAML < Vertex environment <
flags.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from trainer import compat
from trainer.config import SECTIONS, Config, describe, parse_config
from trainer.errors import UserError
from trainer.flags import parse_flags
from trainer.sections import Key
from trainer.vertex import VertexEnvironment, read_environment

# The config of the embedded taxi rides: what a run without --config trains.
DEFAULT_CONFIG_PATH = str(Path(__file__).with_name("taxifare_sample.yaml"))

Layer = Mapping[Key, Any]

# Ways to say one thing: a layer that uses one of them puts the others of lower layers aside, so
# that --steps=100 works over a YAML with `epochs: 10`. Two in one layer stay an error.
_ALTERNATIVES: tuple[tuple[Key, ...], ...] = (
    (Key("data", "validation"), Key("data", "validation_fraction")),
    (Key("data", "test"), Key("data", "test_fraction")),
    tuple(Key("training", n) for n in ("epochs", "steps", "num_train_examples", "seconds")),
    (Key("training", "num_evals"), Key("training", "eval_steps")),
)
_OUTPUT_DIRS = tuple(Key("output", n) for n in SECTIONS["output"].model_fields)
_TARGET = Key("label", "column")
_JOB_DIR = Key("output", "job_dir")
_MODEL_DIR = Key("output", "model_dir")


@dataclass(frozen=True)
class Invocation:
    """What the user asked for.

    Attributes:
        config: the resolved config; `output.job_dir` is set, the other folders where stated.
        environment: what Vertex AI says about this replica.
        config_path: the file that the config is from.
        print_config: print the config instead of training.
        sources: dotted key -> the flag, variable or file that set it; defaults are absent.
        ignored: flags of another trainer that have no meaning here.
    """

    config: Config
    environment: VertexEnvironment
    config_path: str = DEFAULT_CONFIG_PATH
    print_config: bool = False
    sources: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


def load_config(argv: Sequence[str], environ: Mapping[str, str]) -> Invocation:
    """The run that the command line, the config file and the environment describe.

    Raises:
        UserError: an unknown flag, key or value, with the flag, the variable or the file and line
            that it comes from; no output folder on Vertex AI.
    """
    flags = parse_flags(argv)
    environment = read_environment(environ)
    if flags.config_path is None and _TARGET in flags.layer:
        # The table is described by flags alone.
        config_path, values = compat.NAME, {}
    else:
        config_path = flags.config_path or DEFAULT_CONFIG_PATH
        values = _read_yaml(config_path)
    sources = {
        Key(section, name): config_path
        for section in SECTIONS
        if isinstance(values.get(section), dict)
        for name in values[section]
    }
    for key, value in flags.defaults.items():
        if key not in sources:
            _set(values, key, value)
            sources[key] = "--compat"
    for layer, name_source in (
        (_environment_layer(environment), _VARIABLES.__getitem__),
        (flags.layer, flags.names.__getitem__),
    ):
        _put_aside(values, sources, layer)
        for key, value in layer.items():
            _set(values, key, value)
            sources[key] = name_source(key)
    _place_outputs(values, sources, environment, config_path)
    return Invocation(
        config=_validate(values, sources, config_path),
        environment=environment,
        config_path=config_path,
        print_config=flags.print_config,
        sources={str(key): source for key, source in sources.items()},
        ignored=tuple(f"--{name}" for name in flags.foreign if name in compat.IGNORED),
    )


def describe_sources(invocation: Invocation) -> str:
    """One line: the config file, and what variables and flags changed in it."""
    path = invocation.config_path
    changes = sorted({source for source in invocation.sources.values() if source != path})
    return f"{path}{' with ' if changes else ''}{', '.join(changes)}"


def config_yaml(config: Config) -> str:
    """The config as YAML that `--config` reads back as an equal one; settings of None left out."""
    from trainer.yaml_text import dump_yaml

    return dump_yaml(config.model_dump(mode="json", exclude_none=True))


def _read_yaml(path: str) -> dict[str, Any]:
    from trainer import storage
    from trainer.yaml_text import load_yaml

    text = storage.read_text(path)
    # A section whose settings are all commented out is empty, not wrong.
    return {key: value for key, value in load_yaml(text, path).items() if value is not None}


# Setting -> the variable that sets it.
_VARIABLES: dict[Key, str] = {
    _JOB_DIR: "AIP_MODEL_DIR",
    _MODEL_DIR: "AIP_MODEL_DIR",
    Key("output", "checkpoint_dir"): "AIP_CHECKPOINT_DIR",
    Key("output", "log_dir"): "AIP_TENSORBOARD_LOG_DIR",
    Key("data", "train"): "AIP_TRAINING_DATA_URI",
    Key("data", "validation"): "AIP_VALIDATION_DATA_URI",
    Key("data", "test"): "AIP_TEST_DATA_URI",
}


def _environment_layer(environment: VertexEnvironment) -> Layer:
    """Settings that Vertex AI makes; a pattern is a list of one, as a comma is part of it."""
    layer: dict[Key, Any] = {}
    for key in _VARIABLES:
        value = getattr(environment, key.name)
        if value is not None:
            layer[key] = [value] if key.section == "data" else value
    return layer


def _put_aside(values: dict[str, Any], sources: dict[Key, str], layer: Layer) -> None:
    """Removes from `values` what the layer states in another way, see `_ALTERNATIVES`."""
    for alternatives in _ALTERNATIVES:
        if any(key in layer and layer[key] not in (None, "", "0", "auto") for key in alternatives):
            for key in alternatives:
                if sources.pop(key, None):
                    del values[key.section][key.name]


def _set(values: dict[str, Any], key: Key, value: Any) -> None:
    section = values.setdefault(key.section, {})
    if isinstance(section, dict):  # else the validation refuses it
        section[key.name] = value


def _place_outputs(
    values: dict[str, Any],
    sources: dict[Key, str],
    environment: VertexEnvironment,
    config_path: str,
) -> None:
    """Gives the run a folder, and each trial one of its own.

    Vertex AI makes AIP_MODEL_DIR for each trial; any other folder would be shared by all trials.

    Raises:
        UserError: on Vertex AI nothing says where the results go; they would vanish with the disk.
    """
    output = values.setdefault("output", {})
    if not isinstance(output, dict):
        return
    if output.get("job_dir") is None:
        model_dir = output.get("model_dir")
        if environment.is_cloud and model_dir is None:
            raise UserError(
                "baseOutputDirectory is missing: the job has no AIP_MODEL_DIR and its results "
                "would be lost. Add `baseOutputDirectory: {outputUriPrefix: gs://BUCKET/FOLDER}` "
                "to the job's YAML, or pass --job_dir=gs://BUCKET/FOLDER"
            )
        if environment.is_cloud:
            output["job_dir"] = str(model_dir).rstrip("/").rpartition("/")[0]
        else:
            output["job_dir"] = f"runs/{PurePosixPath(config_path).stem}"
    if environment.trial_id is None:
        return
    for key in _OUTPUT_DIRS:
        folder = output.get(key.name)
        if isinstance(folder, str) and sources.get(key) != _VARIABLES[key]:
            output[key.name] = f"{folder.rstrip('/')}/{environment.trial_id}"


def _validate(values: dict[str, Any], sources: Mapping[Key, str], config_path: str) -> Config:
    """The config; an error names the flag or variable, or else the file, that the value is from."""
    try:
        return parse_config(values, config_path)
    except UserError as error:
        if not isinstance(error.__cause__, ValidationError):
            raise
        findings = error.__cause__
        message = describe(findings)
        elsewhere = {key: source for key, source in sources.items() if source != config_path}
        for key, source in elsewhere.items():
            if source == "--compat":  # sets many, so the key itself says more
                continue
            message = re.sub(rf"(?<![\w.]){re.escape(str(key))}(?!\w)", source, message)
        if all(tuple(detail["loc"][:2]) in elsewhere for detail in findings.errors()):
            raise UserError(message) from findings
        raise UserError(f"{config_path}: {message}") from findings
