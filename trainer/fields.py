"""Tolerant field types of the config: what a tuning service and a shell really send.

Integers accept 64, 64.0, "64.0" and "6.4e1" (python-aiplatform issue 866: a study sends integers as
doubles) and refuse 64.5; lists accept YAML lists, JSON, commas and spaces; true and false are no
numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from trainer.errors import quoted

Auto = Literal["auto"]


def tolerant_int(value: Any) -> Any:
    """An integer from 64, 64.0, "64.0", "6.4e1"; anything else is left for the type to refuse.

    Raises:
        ValueError: `value` is true or false.

    >>> tolerant_int("6.4e1"), tolerant_int(64.0), tolerant_int("auto"), tolerant_int("64.5")
    (64, 64, 'auto', '64.5')
    """
    if isinstance(value, bool):
        raise ValueError(f"must be a whole number; received {value}")
    if not isinstance(value, str | float):
        return value
    # A text of digits is taken as it is: a double holds integers up to 2^53 only.
    if isinstance(value, str) and value.strip().isdecimal():
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    return int(number) if number.is_integer() else value


def plain_number(value: Any) -> Any:
    """`value`, unless it is true or false, which the type would take for 1 and 0.

    Raises:
        ValueError: `value` is true or false.
    """
    if isinstance(value, bool):
        raise ValueError(f"must be a number; received {value}")
    return value


def split_list(value: Any) -> Any:
    """A list from "128,64", "128 64", "[128, 64]", or one number.

    Raises:
        ValueError: a text that begins with [ is no JSON list.

    >>> split_list("128, 64"), split_list("[128, 64]"), split_list(""), split_list(128.0)
    (['128', '64'], [128, 64], [], [128.0])
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"must be a list such as [1, 2]; received {quoted(value)}") from error
    return text.replace(",", " ").split()


def split_texts(value: Any) -> Any:
    """A list of texts from one text, "a,b", or JSON; a space belongs to the text.

    Numbers become their shortest text, as they stand in a column of categories.

    Raises:
        ValueError: an item is true or false: YAML reads an unquoted yes, no, on or off so.

    >>> split_texts("one path/a.csv, b.csv"), split_texts([1, 2.0, 2.5, "x"])
    (['one path/a.csv', 'b.csv'], ['1', '2', '2.5', 'x'])
    """
    if isinstance(value, str) and not value.strip().startswith("["):
        return [part.strip() for part in value.split(",") if part.strip()]
    items = split_list(value)
    return [_text(item) for item in items] if isinstance(items, list | tuple) else items


def _text(item: Any) -> Any:
    if isinstance(item, bool):
        raise ValueError(f"must be text; received {item}. Put yes, no, true and the like in quotes")
    if isinstance(item, float):
        return str(int(item)) if item.is_integer() else str(item)
    return str(item) if isinstance(item, int) else item


def unusable_texts(value: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Texts within nested values that hold a NUL or no valid Unicode, each with its dotted key.

    >>> list(unusable_texts({"a": {"b": ("x", "\\0")}, "c\\udcff": 1}))
    [('a.b', '\\x00'), ('', 'c\\udcff')]
    """
    if isinstance(value, str):
        # Bytes of a command line that are not UTF-8 reach Python as halves of a surrogate pair.
        if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
            yield ".".join(keys), value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from unusable_texts(key, keys)
            yield from unusable_texts(item, (*keys, key))
    elif isinstance(value, tuple):
        for item in value:
            yield from unusable_texts(item, keys)


# More steps, rows or megabytes than there will be, and far from the end of int64.
LARGEST_INT = 10**18

Int = Annotated[int, BeforeValidator(tolerant_int), Field(ge=-LARGEST_INT, le=LARGEST_INT)]
Float = Annotated[float, BeforeValidator(plain_number), Field(allow_inf_nan=False)]
IntList = Annotated[tuple[Int, ...], BeforeValidator(split_list)]
FloatList = Annotated[tuple[Float, ...], BeforeValidator(split_list)]
Text = Annotated[str, BeforeValidator(_text)]
TextList = Annotated[tuple[str, ...], BeforeValidator(split_texts)]
