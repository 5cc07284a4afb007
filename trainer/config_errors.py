"""One readable line from what pydantic finds wrong with a config.

Knows the shape of the config only through the model class that it is given.
"""

from __future__ import annotations

import re
import types
from collections.abc import Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from trainer.columns import COLUMN_KINDS
from trainer.errors import nearest, quoted

MAX_FINDINGS = 3

# What is expected, by pydantic's type of finding; {} are filled from its context.
_EXPECTED = {
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "a text",
    "string_unicode": "a text of valid Unicode",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping of options",
    "model_attributes_type": "a mapping of options",
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
}


def describe_findings(error: ValidationError, model: type[BaseModel]) -> str:
    """Findings of a validation in one line, the first three in full.

    Args:
        error: what `model` found.
        model: the class of the whole config, for the names that are valid.
    """
    findings: dict[str, list[Any]] = {}
    for detail in error.errors():
        findings.setdefault(".".join(_locate(model, detail["loc"])[0]), []).append(detail)
    lines = [_describe_one(where, details, model) for where, details in findings.items()]
    rest = f" (and {len(lines) - MAX_FINDINGS} more)" if len(lines) > MAX_FINDINGS else ""
    return "; ".join(lines[:MAX_FINDINGS]) + rest


def _describe_one(where: str, details: list[Any], model: type[BaseModel]) -> str:
    """The line of one key; several details are the branches of a union that all refused it."""
    # Of `auto or a number`, the number says more about what was received.
    details.sort(key=lambda detail: detail["type"] == "literal_error")
    detail = details[0]
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        name = str(detail["loc"][-1])
        parent = _locate(model, detail["loc"][:-1])[1]
        return f"{where}: unknown key{nearest(name, getattr(parent, 'model_fields', {}))}"
    if kind == "missing":
        return f"{where} is missing"
    if kind == "union_tag_invalid":
        tag = str(context["tag"])
        return f"{where}.kind: unknown kind {quoted(tag)}{nearest(tag, COLUMN_KINDS)}; " + (
            f"valid: {', '.join(COLUMN_KINDS)}"
        )
    if kind == "union_tag_not_found":
        return f"{where} needs kind, one of {', '.join(COLUMN_KINDS)}"
    if kind == "value_error":
        return _join(where, detail["msg"].removeprefix("Value error, "))
    if kind not in _EXPECTED:
        return (
            f"{where}: {detail['msg'][:1].lower()}{detail['msg'][1:]}; "
            f"received {quoted(detail['input'])}"
        )
    expected = [
        _EXPECTED[d["type"]].format(**d.get("ctx", {})) for d in details if d["type"] in _EXPECTED
    ]
    received = quoted(detail["input"])
    line = f"{where} must be {' or '.join(dict.fromkeys(expected))}; received {received}"
    if kind == "literal_error":
        line += nearest(str(detail["input"]), re.findall(r"'([^']+)'", context["expected"]))
    return line


def _join(where: str, message: str) -> str:
    """A validator's own message behind its key, unless it names the key itself."""
    if not where or f"{where}." in message:
        return message
    return f"{where} {message}" if message.startswith("must ") else f"{where}: {message}"


def _locate(model: Any, path: Sequence[int | str]) -> tuple[list[str], Any]:
    """Keys of the YAML on the way that `path` goes, and the type that stands there.

    pydantic puts the branch of a union into its path (`training.batch_size.literal['auto']`,
    `columns.age.numeric.scale`), which is no key of the YAML.
    """
    keys: list[str] = []
    here: Any = model
    for part in path:
        here = _unwrap(here)
        fields = getattr(here, "model_fields", None)
        arguments = get_args(here)
        if fields is not None:
            keys.append(str(part))
            here = fields[part].annotation if part in fields else None
        elif get_origin(here) in (dict, tuple):
            keys.append(str(part))
            here = arguments[1] if get_origin(here) is dict else arguments[0]
        elif part in COLUMN_KINDS and COLUMN_KINDS[str(part)] in arguments:
            here = COLUMN_KINDS[str(part)]
    return keys, _unwrap(here)


def _unwrap(annotation: Any) -> Any:
    """The type without Annotated and without `| None`."""
    if get_origin(annotation) is Annotated:
        return _unwrap(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        given = [a for a in get_args(annotation) if a is not type(None)]
        if len(given) == 1:
            return _unwrap(given[0])
    return annotation
