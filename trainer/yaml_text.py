"""Config YAML to nested values and back; no TensorFlow.

Scalars follow YAML 1.2, so that a column `y` is no boolean, a zip code 02134 is no octal number, a
date stays a text, and 1e-4 is a number. What `dump_yaml` writes reads the same under YAML 1.1.
Sources: YAML 1.2.2 section 10.3, core schema; PyYAML issue 173 (1e-4 is read as a text).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from trainer.errors import UserError

# tag: (pattern, first characters that can match; "" is the empty scalar).
_SCALARS: dict[str, tuple[str, list[str]]] = {
    "null": (r"(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    "bool": (r"(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    "float": (
        r"[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$"
        r"|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$",
        list("-+0123456789."),
    ),
    "merge": (r"<<$", ["<"]),
}


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2 that refuses a key that stands twice."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012  # replaces YAML 1.1's

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        first_lines: dict[str, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            key, line = key_node.value, key_node.start_mark.line + 1
            if key in first_lines:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key!r} stands twice, first in line {first_lines[key]}",
                    problem_mark=key_node.start_mark,
                )
            first_lines[key] = line
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes whatever YAML 1.1 or 1.2 would not read as a text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_list(dumper: _Dumper, values: list[Any]) -> yaml.SequenceNode:
    """Put a list of scalars on one line."""
    is_flat = not any(isinstance(value, list | dict) for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=is_flat)


_Dumper.add_representer(list, _represent_list)


for _tag, (_pattern, _first) in _SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def load_yaml(text: str, origin: str) -> dict[str, Any]:
    """The top-level mapping of a YAML text.

    Args:
        text: the YAML.
        origin: where it comes from, for messages, e.g. its path.

    Raises:
        UserError: not YAML, a key stands twice, or it is empty or no mapping; with the line.
    """
    try:
        values = yaml.load(text, _Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        advice = "; indent with spaces" if "'\\t'" in (error.problem or "") else ""
        raise UserError(f"{origin}{line}: {error.problem}{advice}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{origin}: not valid YAML: {' '.join(str(error).split())}") from error
    if values is None:
        raise UserError(f"{origin} is empty; expected at least columns and label")
    if not isinstance(values, dict):
        raise UserError(
            f"{origin} must be a mapping with columns, label and sections; received a "
            f"{type(values).__name__}"
        )
    return values


def dump_yaml(values: Mapping[str, Any]) -> str:
    """A YAML text that `load_yaml` reads back as `values`: nested dicts, lists, scalars."""
    return yaml.dump(
        dict(values),
        Dumper=_Dumper,
        default_flow_style=False,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )
