"""The flags of the command line and their help text; no TensorFlow.

One flag for each field of `config.SECTIONS`; field names are unique across sections, so a flag
needs no prefix. Columns, crosses and label have none: they are stated in the config file. Values
stay texts here; the config's own types read them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic.fields import FieldInfo

from trainer import __version__, compat
from trainer.config import SECTIONS
from trainer.errors import UserError, nearest
from trainer.sections import Key

# Name of the flag -> setting. Field names are unique across sections.
FLAGS: dict[str, Key] = {
    name: Key(section, name) for section, model in SECTIONS.items() for name in model.model_fields
}
_COMMON_FLAGS: dict[str, str] = {
    "config": "YAML file of the run: a path, gs:// or /gcs/. Not given: the embedded taxi rides.",
    "compat": "google_wide_and_deep takes the parameters of Google's removed workflow for wide and "
    "deep (--max_steps, --dnn_dropout, ...) as flags too, and its defaults, below the config file.",
    "print_config": "Print the resolved config as YAML, which --config reads, and stop.",
    "version": "Print the version and stop.",
    "help": "Print this text and stop.",
}


def information(argv: Sequence[str]) -> str | None:
    """The text that --help or --version asks for; None where neither stands in `argv`."""
    if "--help" in argv or "-h" in argv:
        return _help_text()
    if "--version" in argv:
        return f"wide-and-deep-trainer {__version__}"
    return None


class Flags(NamedTuple):
    """What stands on the command line.

    layer: setting -> value. names: setting -> the flag that set it.
    config_path: None where there is no --config.
    foreign: parameters of another trainer (`--compat`) as given, which `layer` has translated.
    defaults: settings that --compat makes where neither file nor flag does.
    """

    layer: dict[Key, Any]
    names: dict[Key, str]
    config_path: str | None
    print_config: bool
    foreign: dict[str, str] = {}  # noqa: RUF012 - a default of a tuple, never changed
    defaults: dict[Key, Any] = {}  # noqa: RUF012


def known_flags(argv: Sequence[str]) -> dict[str, Key]:
    """Name of the flag -> setting, of all flags that may stand beside `argv`."""
    if not _is_compatible(argv):
        return FLAGS
    return FLAGS | {name: parameter.key for name, parameter in compat.PARAMETERS.items()}


def parse_flags(argv: Sequence[str]) -> Flags:
    """Flags as `--name=value` or `--name value`; the last occurrence wins, as tuning appends.

    Raises:
        UserError: an unknown flag, a flag without its value, an argument that is no flag.
    """
    layer: dict[Key, Any] = {}
    foreign: dict[str, str] = {}
    config_path = None
    print_config = False
    foreign_names = compat.NAMES if _is_compatible(argv) else ()
    arguments = iter(argv)
    for argument in arguments:
        dashed, equals, text = argument.partition("=")
        name = dashed.removeprefix("--")
        if argument == "--print_config":
            print_config = True
            continue
        is_known = name in FLAGS or name in foreign_names or name in ("config", "compat")
        if name == dashed or not is_known:
            raise UserError(_describe_unknown(argument, foreign_names))
        if not equals:
            text = next(arguments, "--")
            if text.startswith("--"):
                raise UserError(f"--{name} needs a value; write --{name}=VALUE")
        if name == "config":
            config_path = text
        elif name in foreign_names:
            foreign[name] = text
        elif name != "compat":
            key = FLAGS[name]
            # An empty value says "not given" where that has a meaning.
            layer[key] = None if text == "" and _allows_none(_field(key)) else text
    if config_path == "":
        raise UserError("--config needs a value; write --config=PATH")
    names = {key: f"--{key.name}" for key in layer}
    if not foreign_names:
        return Flags(layer, names, config_path, print_config)
    translation = compat.translate(foreign)
    names = {key: f"--{name}" for key, name in translation.names.items()} | names
    layer = translation.given | layer
    return Flags(layer, names, config_path, print_config, foreign, translation.defaults)


def _is_compatible(argv: Sequence[str]) -> bool:
    """Whether --compat stands there.

    Raises:
        UserError: with another value than the one that there is.
    """
    values = [
        argument.partition("=")[2] or "".join(argv[i + 1 : i + 2])
        for i, argument in enumerate(argv)
        if argument.partition("=")[0] == "--compat"
    ]
    for value in values:
        if value != compat.NAME:
            raise UserError(f"--compat must be {compat.NAME}; received {value!r}")
    return bool(values)


def _describe_unknown(argument: str, foreign_names: Collection[str]) -> str:
    dashed, equals, _ = argument.partition("=")
    if not argument.startswith("-") or dashed in ("-", "--"):
        return (
            f"unexpected argument {argument!r}; every setting is a flag, e.g. --batch_size=512. "
            "A value with spaces needs quotes"
        )
    if dashed.removeprefix("--") in _COMMON_FLAGS and equals:
        return f"{dashed} takes no value; received {argument!r}"
    if not foreign_names and dashed.removeprefix("--") in compat.NAMES:
        return f"{dashed} is of another trainer; add --compat={compat.NAME} for its parameters"
    known = [f"--{name}" for name in (*FLAGS, *_COMMON_FLAGS, *foreign_names)]
    return f"{dashed}: unknown flag{nearest(dashed, known)}; --help lists all flags"


def _field(key: Key) -> FieldInfo:
    return SECTIONS[key.section].model_fields[key.name]


def _allows_none(info: FieldInfo) -> bool:
    return type(None) in get_args(info.annotation)


def _help_text() -> str:
    """All flags by section, each with its values, default and meaning."""
    lines = [
        "usage: python -m trainer.task [--config=PATH] [--FLAG=VALUE | --FLAG VALUE] ...",
        "",
        "Trains a wide-and-deep model on a table and exports it as a SavedModel.",
        "Settings: defaults < config file < Vertex AI environment < flags; the last flag wins.",
        "Lists take commas or JSON, booleans true or false; an empty value means not given.",
        "",
    ]
    lines += [_help_entry(f"--{name}", text) for name, text in _COMMON_FLAGS.items()]
    for section, model in SECTIONS.items():
        lines += ["", f"{section}: {(model.__doc__ or '').strip().splitlines()[0]}"]
        for name, info in model.model_fields.items():
            choices = _choices(info.annotation)
            values = f" One of {', '.join(choices)}." if len(choices) > 1 else ""
            text = f"{info.description}{values} Default: {_default_text(info)}."
            lines.append(_help_entry(f"--{name}", text))
    return "\n".join(lines)


def _help_entry(flag: str, text: str) -> str:
    import textwrap

    indent = " " * 26
    return textwrap.fill(f"  {flag:<23} {text}", width=100, subsequent_indent=indent)


def _choices(annotation: Any) -> tuple[str, ...]:
    if annotation is bool:
        return ("true", "false")
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _default_text(info: FieldInfo) -> str:
    """The default as a flag takes it."""
    value = info.default
    if value is None or value == ():
        return "not given"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return json.dumps(value) if "" in value else ",".join(map(str, value))
    return str(value)
