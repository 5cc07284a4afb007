"""A job's values against the fields of the API's own messages: names, types, enums, durations.

`gcloud ai custom-jobs create` forwards whatever a file says, and protobuf's own JSON reader stops
at the first mistake and takes snake_case, which gcloud refuses. Here every mistake is found, and a
repaired copy lets further checks go on. Must not know what a field means.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from trainer.errors import UserError, nearest

Path = tuple[str | int, ...]

_SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Taken as they are: their JSON form is no mapping of their fields.
_OPAQUE = ("google.protobuf.Value", "google.protobuf.Struct", "google.rpc.Status")


class FieldError(NamedTuple):
    """A field that the API would refuse: where it stands and what to do."""

    path: Path
    message: str


def message_class(kind: str) -> Any:
    """The protobuf class of a file of `kind`: custom (CustomJobSpec) or tuning (the whole job).

    Raises:
        UserError: google-cloud-aiplatform is not installed.
    """
    try:
        from google.cloud.aiplatform_v1 import types
    except ImportError as error:
        raise UserError(
            f"job files are compared with google-cloud-aiplatform, which cannot be imported "
            f"({error}); run pip install 'wide-and-deep-trainer[vertex]'"
        ) from error
    return (types.HyperparameterTuningJob if kind == "tuning" else types.CustomJobSpec).pb()


def dotted(path: Path) -> str:
    """The path as a reader writes it.

    >>> dotted(("workerPoolSpecs", 0, "machineSpec"))
    'workerPoolSpecs[0].machineSpec'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def find_field_errors(values: Any, descriptor: Any) -> tuple[list[FieldError], Any]:
    """All that the message would refuse, and `values` as they were probably meant.

    Args:
        values: what stands in the YAML.
        descriptor: of the message that they should describe.
    """
    errors: list[FieldError] = []
    return errors, _message(values, descriptor, (), errors)


def _message(values: Any, descriptor: Any, path: Path, errors: list[FieldError]) -> Any:
    """The repaired mapping of a message."""
    special = _SPECIAL.get(descriptor.full_name)
    if special is not None:
        return special(values, path, errors)
    if descriptor.full_name in _OPAQUE:
        return values
    if not isinstance(values, dict):
        errors.append(FieldError(path, f"must be a mapping; received {_shown(values)}"))
        return {}
    fields = {field.json_name: field for field in descriptor.fields}
    repaired: dict[str, Any] = {}
    taken: dict[str, str] = {}
    for key, value in _moved(values, fields, path, errors).items():
        name = key if key in fields else _meant(key, fields, path, errors)
        if name is None or value is None:
            continue
        oneof = fields[name].containing_oneof
        if oneof is not None and taken.setdefault(oneof.name, name) != name:
            message = f"stands beside {taken[oneof.name]}; only one of them may be given"
            errors.append(FieldError((*path, key), message))
            continue
        repaired[name] = _field(value, fields[name], (*path, key), errors)
    return repaired


def _moved(
    values: dict[Any, Any], fields: Mapping[str, Any], path: Path, errors: list[FieldError]
) -> dict[Any, Any]:
    """The values, with each key that belongs one level deeper put there, after noting the error."""
    moved = dict(values)
    for key in [key for key in values if isinstance(key, str) and key not in fields]:
        for name, field in sorted(fields.items(), key=lambda item: item[0] not in moved):
            child = field.message_type
            is_owner = child is not None and key in {inner.json_name for inner in child.fields}
            if not is_owner or _is_repeated(field) or child.full_name.startswith("google.protobuf"):
                continue
            if not isinstance(moved.get(name, {}), dict):
                continue
            errors.append(FieldError((*path, key), f"belongs under {name}; move it there"))
            moved[name] = {**moved.get(name, {}), key: moved.pop(key)}
            break
    return moved


def _meant(key: Any, fields: Mapping[str, Any], path: Path, errors: list[FieldError]) -> str | None:
    """The field that an unknown key probably means, after noting the error."""
    where = (*path, str(key))
    if not isinstance(key, str):
        errors.append(FieldError(where, f"{_shown(key)} is no field name; {_unquoted(key)}"))
        return None
    by_snake_name = {field.name: name for name, field in fields.items()}
    if key in by_snake_name:
        name = by_snake_name[key]
        errors.append(FieldError(where, f"unknown field; write it in camelCase: {name}"))
        return name
    by_lower_name = {name.lower(): name for name in fields}
    name = by_lower_name.get(key.replace("_", "").replace("-", "").lower(), "")
    guess = f"; did you mean {name!r}?" if name else nearest(key, fields)
    valid = "" if guess else f"; valid: {', '.join(fields)}"
    errors.append(FieldError(where, f"unknown field{guess}{valid}"))
    return guess.split("'")[1] if guess else None


def _field(value: Any, field: Any, path: Path, errors: list[FieldError]) -> Any:
    """The repaired value of a field, which may be a list or a map."""
    if not _is_repeated(field):
        return _single(value, field, path, errors)
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return _map(value, kind.fields_by_name["value"], path, errors)
    if not isinstance(value, list):
        what = "a mapping: put - before its first key" if isinstance(value, dict) else _shown(value)
        errors.append(FieldError(path, f"must be a list; received {what}"))
        value = [value]
    items = []
    for index, item in enumerate(value):
        if item is None:
            message = "is empty; write {} for a pool or item that is left out"
            errors.append(FieldError((*path, index), message))
        else:
            items.append(_single(item, field, (*path, index), errors))
    return items


def _map(values: Any, field: Any, path: Path, errors: list[FieldError]) -> Any:
    """A map with text keys, e.g. labels."""
    if not isinstance(values, dict):
        errors.append(FieldError(path, f"must be a mapping; received {_shown(values)}"))
        return {}
    for key in values:
        if not isinstance(key, str):
            errors.append(FieldError((*path, str(key)), f"the key is no text; {_unquoted(key)}"))
    return {str(k): _single(v, field, (*path, str(k)), errors) for k, v in values.items()}


def _single(value: Any, field: Any, path: Path, errors: list[FieldError]) -> Any:
    """The repaired value of one scalar, enum or message."""
    if field.message_type is not None:
        return _message(value, field.message_type, path, errors)
    if field.enum_type is not None:
        return _enum(value, field.enum_type, path, errors)
    if field.cpp_type == field.CPPTYPE_STRING:
        return _text(value, path, errors)
    if field.cpp_type == field.CPPTYPE_BOOL:
        return _boolean(value, path, errors)
    is_whole = field.cpp_type not in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT)
    most_bits = 31 if field.cpp_type == field.CPPTYPE_INT32 else 63
    return _number(value, path, errors, is_whole=is_whole, most_bits=most_bits)


def _text(value: Any, path: Path, errors: list[FieldError]) -> str:
    if not isinstance(value, str):
        errors.append(FieldError(path, f"must be a text; {_unquoted(value)}"))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _boolean(value: Any, path: Path, errors: list[FieldError]) -> bool:
    if isinstance(value, bool):
        return value
    advice = "; remove the quotes" if str(value).lower() in ("true", "false") else ""
    errors.append(FieldError(path, f"must be true or false; received {_shown(value)}{advice}"))
    return str(value).lower() == "true"


def _number(
    value: Any, path: Path, errors: list[FieldError], *, is_whole: bool, most_bits: int
) -> Any:
    """The number; JSON's texts of numbers are taken, as the API takes them."""
    number = None
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):
            number = float(value)
    is_valid = number is not None and math.isfinite(number)
    if is_whole:
        is_valid = is_valid and float(number or 0).is_integer() and abs(number or 0) < 2**most_bits
    if not is_valid:
        kind = "a whole number" if is_whole else "a finite number"
        errors.append(FieldError(path, f"must be {kind}; received {_shown(value)}"))
    if number is None or not math.isfinite(number):
        return 1
    return math.ceil(number) if is_whole else number


def _enum(value: Any, enum: Any, path: Path, errors: list[FieldError]) -> Any:
    names = [item.name for item in enum.values]
    if value in names:
        return value
    upper = str(value).upper().replace("-", "_")
    guess = f"; did you mean {upper!r}?" if upper in names else nearest(upper, names)
    shown = names if len(names) < 12 else [*names[:11], "..."]
    advice = guess or f"; valid: {', '.join(shown)}"
    errors.append(FieldError(path, f"unknown value {_shown(value)}{advice}"))
    return upper if upper in names else str(value)


def _duration(value: Any, path: Path, errors: list[FieldError]) -> str:
    """A duration in JSON is seconds with an s, e.g. 7200s; nothing else."""
    text = str(value)
    if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d{1,9})?s", text):
        return text
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)[a-z]*", text.strip().lower())
    seconds = float(parts[1]) * _SECONDS_PER_UNIT[parts[2] or "s"] if parts else 7200
    example = f"{seconds:g}s" if seconds < 1e6 else f"{seconds:.0f}s"
    message = f"must be seconds with an s; received {_shown(value)}. Write {example}"
    errors.append(FieldError(path, message))
    return example


def _plain_timestamp(value: Any, path: Path, errors: list[FieldError]) -> str:
    return _text(value, path, errors)


def _wrapped_number(value: Any, path: Path, errors: list[FieldError]) -> Any:
    return _number(value, path, errors, is_whole=True, most_bits=31)


_SPECIAL = {
    "google.protobuf.Duration": _duration,
    "google.protobuf.Timestamp": _plain_timestamp,
    "google.protobuf.BoolValue": _boolean,
    "google.protobuf.Int32Value": _wrapped_number,
    "google.protobuf.Int64Value": _wrapped_number,
}


def _is_repeated(field: Any) -> bool:
    """Protobuf 6 warns about `label`, protobuf 4 (TensorFlow 2.17) has nothing else."""
    is_repeated = getattr(field, "is_repeated", None)
    return field.label == field.LABEL_REPEATED if is_repeated is None else bool(is_repeated)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _unquoted(value: Any) -> str:
    """What to say of a value that YAML did not read as a text."""
    if isinstance(value, dict | list) or value is None:
        return f"received {_shown(value)}"
    kind = {bool: "true or false", int: "a number", float: "a number"}.get(type(value), "a date")
    return f"YAML reads {value} as {kind}, put it in quotes"
