"""Columns by the hundreds: `"sensor_{001..300}": numeric` stands for 300 columns.

Imports the standard library only.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
MOST_COLUMNS = 100_000


def expand_ranges(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The columns with each name that has ranges replaced by its names, in the same order.

    A `source` with ranges is counted along. Zeros before the first number give all as many digits.

    Raises:
        ValueError: a range counts down, is too long, makes a name that is there already, or has
            not as many numbers as that of the source.

    >>> expand_ranges({"a": 1, "s_{08..10}": {"kind": "numeric", "source": "S{8..10}"}})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'a': 1, 's_08': {'kind': 'numeric', 'source': 'S8'},
     's_09': {'kind': 'numeric', 'source': 'S9'}, 's_10': {'kind': 'numeric', 'source': 'S10'}}
    """
    if not any(_RANGE.search(str(name)) for name in columns):
        return dict(columns)
    expanded: dict[str, Any] = {}
    for pattern, options in columns.items():
        for name, own in _columns_of(pattern, options):
            if name in expanded:
                raise ValueError(f"columns: {name!r} stands twice, once by {pattern!r}")
            expanded[name] = own
    return expanded


def _columns_of(pattern: Any, options: Any) -> Iterator[tuple[Any, Any]]:
    """Names and options of one entry; the entry itself where it has no range."""
    if not isinstance(pattern, str) or not _RANGE.search(pattern):
        yield pattern, options
        return
    names = list(_names(pattern))
    source = options.get("source") if isinstance(options, dict) else None
    if not isinstance(source, str) or not _RANGE.search(source):
        yield from ((name, options) for name in names)
        return
    sources = list(_names(source))
    if len(sources) != len(names):
        raise ValueError(
            f"columns: {pattern!r} has {len(names)} names and its source {source!r} {len(sources)}"
        )
    for name, own in zip(names, sources, strict=True):
        yield name, {**options, "source": own}


def _names(pattern: str) -> Iterator[str]:
    """What a pattern stands for; of several ranges the last one counts fastest."""
    texts = _RANGE.split(pattern)  # text, first, last, text, first, last, ..., text
    ranges = []
    num_names = 1
    for first, last in zip(texts[1::3], texts[2::3], strict=True):
        if int(first) > int(last):
            raise ValueError(f"columns: {pattern!r} counts from {first} down to {last}")
        num_names *= int(last) - int(first) + 1
        if num_names > MOST_COLUMNS:
            raise ValueError(f"columns: {pattern!r} stands for more than {MOST_COLUMNS} columns")
        width = len(first) if first.startswith("0") else 0
        ranges.append([f"{number:0{width}d}" for number in range(int(first), int(last) + 1)])
    for numbers in itertools.product(*ranges):
        pieces = itertools.zip_longest(texts[::3], numbers, fillvalue="")
        yield "".join(itertools.chain.from_iterable(pieces))
