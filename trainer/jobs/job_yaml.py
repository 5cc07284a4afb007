"""The YAML of job files, read as gcloud reads it, and the line of every key.

Other than `yaml_text.py`, which reads the trainer's own configs by YAML 1.2: a job file must mean
the same to gcloud, whose ruamel.yaml follows YAML 1.1 (y and n are booleans, 1e-4 is a number).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from trainer.errors import UserError
from trainer.jobs.job_fields import Path

# Keys, items and values once all aliases are written out. A job file has hundreds; ten lines of
# aliases of aliases stand for billions, which whatever reads the values would walk through.
_MOST_NODES = 100_000


class _Loader(yaml.SafeLoader):
    """SafeLoader with all scalars of YAML 1.1; refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key_node.value!r} stands twice",
                    problem_mark=key_node.start_mark,
                )
            seen.add(key_node.value if isinstance(key_node, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep=deep)

    def construct_yaml_bool(self, node: yaml.ScalarNode) -> bool:
        return str(self.construct_scalar(node)).lower() in ("y", "yes", "true", "on")


_Loader.add_constructor("tag:yaml.org,2002:bool", _Loader.construct_yaml_bool)
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]$"), list("yYnN"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def load_job_yaml(text: str, path: str) -> dict[str, Any]:
    """The mapping that the text describes.

    Args:
        text: the YAML.
        path: of the file, for messages.

    Raises:
        UserError: no YAML, no mapping, a key that stands twice, an anchor that contains itself,
            nested too deeply, too large with its aliases written out.
    """
    try:
        root = yaml.compose(text, _Loader)
        if root is not None:
            _check_node(root, (), itertools.count(1), _Loader(""))
        values = yaml.load(text, _Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: {error.problem or error.context}") from error
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply for a job file") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UserError(
            f"{path} must be a mapping with workerPoolSpecs, or with studySpec and trialJobSpec; "
            f"received {type(values).__name__}"
        )
    return values


def key_lines(text: str) -> Mapping[Path, int]:
    """The line, from 1, of every key and item of a text that `load_job_yaml` has read."""
    lines: dict[Path, int] = {}
    root = yaml.compose(text, _Loader)
    if root is not None:
        _note_lines(root, (), lines)
    return lines


def _note_lines(node: yaml.Node, path: Path, lines: dict[Path, int]) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else str(key)
            lines[(*path, name)] = key.start_mark.line + 1
            _note_lines(value, (*path, name), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note_lines(item, (*path, index), lines)


def _check_node(
    node: yaml.Node, parents: tuple[yaml.Node, ...], counter: Iterator[int], loader: _Loader
) -> None:
    """ConstructorError where aliases never end or only after too many nodes, or a tag does not fit.

    On a tag that says what its value is not, such as !!int of a word, PyYAML itself stumbles.
    """
    problem = None
    if any(node is parent for parent in parents):
        problem = "an anchor contains itself"
    elif next(counter) > _MOST_NODES:
        problem = f"with its aliases written out it has more than {_MOST_NODES} entries"
    elif not _fits_its_tag(node, loader):
        problem = f"{node.tag} does not fit its value; leave the tag out"
    if problem:
        raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)
    if isinstance(node, yaml.CollectionNode):
        for item in node.value:
            for part in item if isinstance(item, tuple) else (item,):
                _check_node(part, (*parents, node), counter, loader)


def _fits_its_tag(node: yaml.Node, loader: _Loader) -> bool:
    """Whether the tag is what the value has without one; those that PyYAML does not know pass."""
    if node.tag not in loader.yaml_constructors:
        return True
    plain = loader.resolve(type(node), node.value, (True, False))
    is_text = isinstance(node, yaml.ScalarNode) and node.tag == loader.DEFAULT_SCALAR_TAG
    return is_text or node.tag == plain
