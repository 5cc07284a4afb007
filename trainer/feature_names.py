"""What the ids of a feature stand for, as people say it: a value, a range, an hour, a combination.

Imports features and the kinds of column; knows no weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from trainer.columns import DATE_PART_SIZES, FIRST_YEAR, Datetime
from trainer.features import FeatureEncoder
from trainer.schema import Schema

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class FeatureNames:
    """Names of the ids of every feature."""

    def __init__(self, schema: Schema, encoder: FeatureEncoder):
        """Take the columns and their encoder."""
        features = [f for e in encoder.encoders for f in e.id_features]
        self._sizes = {f.name: f.size for f in [*features, *(c.feature for c in encoder.crosses)]}
        # Only an encoder of one feature has tokens.
        self._tokens = {e.id_features[0].name: e.tokens() for e in encoder.encoders if e.tokens()}
        self._edges = {
            n.name: n.edges for e in encoder.encoders for n in e.numbers if n.edges is not None
        }
        self._parts = {
            f"{name}.{part}": part
            for name, column in schema.of_kind(Datetime).items()
            for part in column.parts
        }
        self._crosses = {cross.feature.name: cross for cross in encoder.crosses}

    def all_of(self, feature: str) -> tuple[str, ...]:
        """Of every id of a feature."""
        return self.of(feature, range(self._sizes[feature]))

    def of(self, feature: str, ids: Iterable[int]) -> tuple[str, ...]:
        """Of some ids of a feature.

        Its value; `[a, b)` of a bucket; `h1 x Monday` of a cross without hashing; in brackets what
        is no value: (missing), (other), or the number of a hash bucket.
        """
        if feature in self._crosses:
            return self._of_cross(feature, ids)
        if feature in self._edges:
            return tuple(_bucket(self._edges[feature], i) for i in ids)
        if feature in self._parts:
            return tuple(_date_part(self._parts[feature], i) for i in ids)
        tokens = self._tokens.get(feature, ())
        num_others = self._sizes[feature] - 1 - len(tokens)
        return tuple(_value(tokens, num_others, i) for i in ids)

    def _of_cross(self, feature: str, ids: Iterable[int]) -> tuple[str, ...]:
        cross = self._crosses[feature]
        if not cross.is_exact:
            return tuple(f"(bin {i})" for i in ids)
        places = np.unravel_index(np.fromiter(ids, np.int64), cross.sizes)
        parts = [self.of(n, p.tolist()) for n, p in zip(cross.columns, places, strict=True)]
        return tuple(" x ".join(names) for names in zip(*parts, strict=True))


def _value(tokens: Sequence[str], num_others: int, i: int) -> str:
    if i == 0:
        return "(missing)"
    if i > num_others:
        return str(tokens[i - 1 - num_others])
    if not tokens:
        return f"(bucket {i})"
    return "(other)" if num_others == 1 else f"(other {i})"


def _bucket(edges: Sequence[float], i: int) -> str:
    """Bucket i of a number: 0 missing, else how many edges it has reached, and one.

    >>> [_bucket((1.0, 2.5), i) for i in range(4)]
    ['(missing)', 'below 1', '[1, 2.5)', 'from 2.5']
    """
    if i == 0:
        return "(missing)"
    if not edges:
        return "any value"
    if i == 1:
        return f"below {edges[0]:.6g}"
    return (
        f"from {edges[-1]:.6g}" if i > len(edges) else f"[{edges[i - 2]:.6g}, {edges[i - 1]:.6g})"
    )


def _date_part(part: str, i: int) -> str:
    """A part of a time as its id says it, `transforms.date_parts`.

    >>> _date_part("month", 12), _date_part("day_of_week", 1), _date_part("minute_of_day", 62)
    ('12', 'Monday', '01:01')
    """
    value = i - 1
    if not 0 <= value < DATE_PART_SIZES[part]:
        return "(missing)"
    if part == "day_of_week":
        return _DAYS[value]
    if part == "minute_of_day":
        return f"{value // 60:02}:{value % 60:02}"
    return str(value + {"year": FIRST_YEAR, "month": 1}.get(part, 0))
