"""Config YAML to nested values and back; no TensorFlow.

Scalars follow YAML 1.2, so that a column `y` is no boolean, a zip code 02134 is no octal number, a
date stays a text, and 1e-4 is a number. What `dump_yaml` writes reads the same under YAML 1.1.
Sources: YAML 1.2.2 section 10.3, core schema; PyYAML issue 173 (1e-4 is read as a text).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

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


# What a config may be: the entries with all aliases written out, levels, characters. Ten lines of
# aliases of aliases stand for billions of entries; PyYAML reads some 200 KB a second.
_MOST_ENTRIES, _MOST_LEVELS, _MOST_CHARACTERS = 100_000, 40, 4_000_000
# A larger number is none that any setting takes; Python itself refuses 4,300 digits.
_MOST_DIGITS = 300
_PREFIX = "tag:yaml.org,2002:"
_CORE_TAGS = ("null", "bool", "int", "float", "str", "seq", "map")


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2 that refuses a key that stands twice."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012  # replaces YAML 1.1's
    # Other tags, as !!set and !!timestamp, are unknown: no setting has such a type.
    yaml_constructors: ClassVar[dict[Any, Any]] = {
        tag: make
        for tag, make in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.removeprefix(_PREFIX) in _CORE_TAGS
    }

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
        _class.add_implicit_resolver(f"{_PREFIX}{_tag}", re.compile(_pattern), _first)


def load_yaml(text: str, origin: str) -> dict[str, Any]:
    """The top-level mapping of a YAML text.

    Args:
        text: the YAML.
        origin: where it comes from, for messages, e.g. its path.

    Raises:
        UserError: not YAML, a key stands twice, a tag does not fit its value, it is too large,
            empty or no mapping; with the line.
    """
    if len(text) > _MOST_CHARACTERS:
        raise UserError(f"{origin} has {len(text)} characters; is it a config, or a data file?")
    try:
        values = _construct(text)
    except RecursionError as error:
        raise UserError(f"{origin}: {_TOO_DEEP}") from error
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


_TOO_DEEP = f"nested deeper than {_MOST_LEVELS} levels; a config has five"


def _construct(text: str) -> Any:
    loader = _Loader(text)  # a SafeLoader
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _check_node(root, {}, 1)
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _check_node(node: yaml.Node, sizes: dict[int, int], level: int) -> int:
    """Entries of a node with its aliases written out.

    Args:
        node: to look at.
        sizes: entries of the nodes that were looked at by id(node), 0 while in it.
        level: how deep it stands.

    Raises:
        yaml.constructor.ConstructorError: it is too large, contains itself, or its tag says what it
            is not, on which PyYAML's constructors stumble.
    """
    if id(node) in sizes and sizes[id(node)] == 0:
        raise _refusal("an anchor contains itself", node)
    if level > _MOST_LEVELS:
        raise _refusal(_TOO_DEEP, node)
    if id(node) in sizes:
        return sizes[id(node)]
    _check_tag(node)
    sizes[id(node)] = 0
    size = 1
    if isinstance(node, yaml.CollectionNode):
        for item in node.value:
            for part in item if isinstance(item, tuple) else (item,):
                size += _check_node(part, sizes, level + 1)
                if size > _MOST_ENTRIES:
                    raise _refusal(f"more than {_MOST_ENTRIES} entries, aliases written out", node)
    sizes[id(node)] = size
    return size


def _check_tag(node: yaml.Node) -> None:
    tag = node.tag.removeprefix(_PREFIX)
    if isinstance(node, yaml.ScalarNode):
        fits = tag not in ("seq", "map")
        if tag in _SCALARS:
            fits = re.match(_SCALARS[tag][0], node.value) is not None
        if tag in ("int", "float") and len(node.value) > _MOST_DIGITS:
            raise _refusal(f"a number of {len(node.value)} digits", node)
    else:
        fits = tag not in (
            *_SCALARS,
            "str",
            "map" if isinstance(node, yaml.SequenceNode) else "seq",
        )
    if not fits:
        raise _refusal(f"the tag !!{tag} does not fit its value", node)


def _refusal(problem: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)


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
