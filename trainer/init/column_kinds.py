"""The kind of each column, with the reason: what init decides about a column by itself.

Every bound is a formula of the data. Imports code_columns, column_profile,
date_formats, table_facts and numpy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.init.code_columns import has_id_name, is_identifier, value_evidence
from trainer.init.date_formats import find_format, looks_like_unpadded_date
from trainer.init.table_facts import TableFacts
from trainer.insight.column_profile import ColumnProfile

# As the trainer's boolean columns read them.
FALSE_TEXTS = frozenset(("false", "no", "f", "n", "0"))
TRUE_TEXTS = frozenset(("true", "yes", "t", "y", "1"))
# The trainer counts every token of a vocabulary; beyond so many, hashing keeps memory flat.
MOST_TOKENS = 1_000_000
# Ids for each token that is frequent enough to learn from, so that few share one.
_HASH_ROOM = 8
# With fewer values the training part of a split may have none, which the trainer refuses.
_LEAST_PRESENT = 10
# Of a number whose single values count: what the trainer allows, and its width of an embedding.
_MOST_BUCKETS, _FINE_DIM = 4096, 8
WEIGHT_NAMES = frozenset(
    ("sample_weight", "sampleweight", "row_weight", "instance_weight", "case_weight")
)
MAYBE_WEIGHT_NAMES = frozenset(("weight", "weights", "wt"))
_AMOUNT = re.compile(r"[-+]?[$\u20ac\u00a3]\s?\d[\d,.]*|[-+]?\d[\d,.]*\s?[%$\u20ac\u00a3]")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?(?: ?[AaPp][Mm])?", re.A)
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+|[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")


@dataclass(frozen=True)
class ColumnChoice:
    """What a column becomes in the config.

    Attributes:
        options: as in the YAML, `kind` first.
        reason: why, for people.
        findings: what a user should look at.
        instead: the kind to write by hand where the choice was wrong, None where there is none.
    """

    name: str
    options: dict[str, object]
    reason: str
    findings: tuple[str, ...] = ()
    instead: str | None = None

    @property
    def kind(self) -> str:
        """Of the config."""
        return str(self.options["kind"])

    @property
    def is_feature(self) -> bool:
        """Whether the model sees it."""
        return self.kind not in ("key", "ignore", "weight")


def choose_kind(profile: ColumnProfile, facts: TableFacts) -> ColumnChoice:
    """The kind of a column."""
    if not profile.distinct:
        return _ignored(profile, "no row has a value")
    if profile.num_present < min(_LEAST_PRESENT, profile.num_rows / 5):
        return _ignored(profile, f"a value in {profile.num_present} rows only")
    if profile.distinct == 1 and profile.num_present == profile.num_rows:
        return _ignored(profile, f"is {_shown(profile.tokens[0])} in every row")
    choice = (
        _weight(profile)
        or _time(profile)
        or _two_values(profile)
        or (_number(profile, facts) if profile.numbers is not None else _text(profile, facts))
    )
    if profile.missing_share > 0.5:
        note = f"{profile.missing_share:.0%} of its values are missing"
        choice = _with_findings(choice, note)
    if profile.stray_texts:
        shown = ", ".join(map(_shown, profile.stray_texts[:5]))
        note = f"numbers, but also {shown}: read as missing (data.null_values)"
        choice = _with_findings(choice, note)
    return choice


def find_sentinel(profile: ColumnProfile) -> str | None:
    """A number that likely stands for a missing one: -999 and the like.

    It is the least or the greatest, all 9s or -1, stands in more rows than any of the others on
    average tenfold, and is further from the next number than that one from the other end.
    """
    if profile.numbers is None or profile.distinct < 4:
        return None
    order = np.argsort(profile.numbers)
    numbers, counts = profile.numbers[order], profile.counts[order]
    for end, next_to, other in ((0, 1, -1), (-1, -2, 0)):
        text = f"{abs(numbers[end]):.0f}"
        is_mark = set(text) == {"9"} or numbers[end] == -1
        is_far = abs(numbers[end] - numbers[next_to]) > abs(numbers[next_to] - numbers[other])
        is_far |= numbers[end] == -1 and numbers[next_to] >= 0
        is_often = counts[end] > 10 * counts.sum() / len(counts)
        if is_mark and is_far and is_often:
            return profile.tokens[order[end]]
    return None


def _weight(profile: ColumnProfile) -> ColumnChoice | None:
    is_possible = (
        profile.numbers is not None
        and profile.num_present == profile.num_rows
        and bool((profile.numbers >= 0).all())
    )
    if is_possible and profile.name.strip().lower() in WEIGHT_NAMES:
        return ColumnChoice(
            profile.name,
            {"kind": "weight"},
            "by its name the weight of the row, in losses and metrics",
            instead="numeric",
        )
    return None


def _time(profile: ColumnProfile) -> ColumnChoice | None:
    found = find_format(profile.name, profile.tokens, profile.numbers)
    if found is None:
        return None
    first, last = (str(np.datetime64(int(s), "s"))[:10] for s in np.sort(found.seconds)[[0, -1]])
    parts = found.parts()
    if not parts:
        return _ignored(
            profile, f"a time, always the same in year, month, weekday and hour: {first}"
        )
    options: dict[str, object] = {
        "kind": "datetime",
        "format": found.format,
        "parts": list(parts),
    }
    if "hour" in parts:
        options["cyclic"] = ["hour"]
    notes = []
    if found.other:
        notes.append(f"day and month cannot be told apart: read as {found.format}")
    return ColumnChoice(
        profile.name, options, f"times from {first} to {last}", tuple(notes), "categorical"
    )


def _two_values(profile: ColumnProfile) -> ColumnChoice | None:
    # Yes, yes and YES are one value; more spellings than these are not looked through.
    lower = {token.lower() for token in profile.tokens[:7]}
    if profile.distinct <= 6 and len(lower) == 2 and lower & FALSE_TEXTS and lower & TRUE_TEXTS:
        shown = " and ".join(map(_shown, sorted(profile.tokens)[:4]))
        return ColumnChoice(profile.name, {"kind": "boolean"}, shown, instead="categorical")
    return None


def _number(profile: ColumnProfile, facts: TableFacts) -> ColumnChoice:
    if profile.is_whole:
        trimmed = (token.strip() for token in profile.tokens)
        if any(text[0] == "0" and len(text) > 1 and text.isdecimal() for text in trimmed):
            return _text(profile, facts, "digits with leading zeros are codes")
        if is_identifier(profile):
            return _unique(profile, "whole numbers, a different one in every row")
        if has_id_name(profile.name) and profile.distinct > 2:
            return _text(profile, facts, "by its name codes, not amounts")
    evidence = value_evidence(profile, facts)
    if evidence is not None and evidence.is_code and profile.is_whole:
        curve = max(0.0, evidence.of_curve)
        told = f"{evidence.of_value:.2g} bits a row beside {curve:.2g} of a curve (held-out)"
        return _text(profile, facts, f"codes: single values tell {told}")
    low, high = float(np.nanmin(profile.values)), float(np.nanmax(profile.values))
    what = "whole numbers" if profile.is_whole else "numbers"
    notes = []
    if sentinel := find_sentinel(profile):
        notes.append(
            f"{sentinel} stands in {_share(profile, sentinel):.1%} of the rows, far from the rest: "
            f"if it means missing, add {_shown(sentinel)} to data.null_values"
        )
    if profile.name.strip().lower() in MAYBE_WEIGHT_NAMES and low >= 0:
        notes.append("a number of the thing; if it is the weight of the row, make it kind weight")
    reason = f"{profile.distinct} {what}, {low:.6g} to {high:.6g}"
    zeros = float((profile.values == 0).mean())
    if 0.2 <= zeros < 1 and profile.distinct > 2:
        reason += f", {zeros:.0%} are 0"
    options: dict[str, object] = {"kind": "numeric"}
    if evidence is not None:
        if evidence.num_frequent > facts.num_buckets:
            # A bucket for each value that is frequent enough.
            exponent = math.ceil(math.log2(evidence.num_frequent))
            options["buckets"] = min(_MOST_BUCKETS, 2**exponent)
        options["embedding_dim"] = _FINE_DIM
        finer = "single values tell" if evidence.num_frequent else "buckets tell"
        reason += f"; {finer} more than a curve (t {evidence.t_value:.1f}, held-out)"
    return ColumnChoice(profile.name, options, reason, tuple(notes), "categorical")


def _text(profile: ColumnProfile, facts: TableFacts, why: str | None = None) -> ColumnChoice:
    frequent = profile.counts >= facts.least_rows
    covered = float(profile.counts[frequent].sum()) / max(1, profile.num_rows)
    if profile.distinct == profile.num_present and profile.distinct > 2:
        return _unique(profile, "a different value in every row")
    if not frequent.any():
        return _ignored(
            profile,
            f"{profile.distinct} values, none in {math.ceil(facts.least_rows)} of the "
            f"{profile.num_rows} rows: nothing to learn a value from",
            _text_notes(profile),
            "categorical",
        )
    distinct = profile.estimate_distinct(facts.total_rows)
    about = "about " if distinct != profile.distinct else ""
    reason = f"{about}{distinct} values" + (f"; {why}" if why else "")
    if covered < 0.995:
        reason += f"; the {int(frequent.sum())} frequent ones fill {covered:.0%} of the rows"
    options: dict[str, object] = {"kind": "categorical"}
    if distinct > MOST_TOKENS:
        exponent = math.ceil(math.log2(_HASH_ROOM * max(128, int(frequent.sum()))))
        options["hash_buckets"] = 2**exponent
        reason += "; too many for a vocabulary"
    return ColumnChoice(
        profile.name,
        options,
        reason,
        _text_notes(profile),
        "numeric" if profile.numbers is not None else None,
    )


def _text_notes(profile: ColumnProfile) -> tuple[str, ...]:
    some = [token.strip() for token in profile.tokens[:200]]
    if looks_like_unpadded_date(some):
        return ("dates of varying width, which the trainer cannot read: write them as 2013-01-31",)
    if all(_CLOCK.fullmatch(text) for text in some):
        return (f"times of day such as {_shown(some[0])}: write them as minutes, a number",)
    for expression, what in ((_AMOUNT, "a sign"), (_DECIMAL_COMMA, "a comma")):
        if all(expression.fullmatch(text) for text in some):
            return (f"numbers written with {what}, such as {_shown(some[0])}: write plain numbers",)
    return ()


def _unique(profile: ColumnProfile, reason: str) -> ColumnChoice:
    return ColumnChoice(
        profile.name,
        {"kind": "key"},
        f"{reason}: an identifier",
        _text_notes(profile),
        "numeric" if profile.numbers is not None else None,
    )


def _ignored(
    profile: ColumnProfile, reason: str, notes: Sequence[str] = (), instead: str | None = None
) -> ColumnChoice:
    return ColumnChoice(profile.name, {"kind": "ignore"}, reason, tuple(notes), instead)


def _with_findings(choice: ColumnChoice, *notes: str) -> ColumnChoice:
    return ColumnChoice(
        choice.name, choice.options, choice.reason, (*choice.findings, *notes), choice.instead
    )


def _share(profile: ColumnProfile, *tokens: str) -> float:
    rows = sum(int(profile.counts[profile.tokens.index(token)]) for token in tokens)
    return rows / max(1, profile.num_rows)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 30 else f"{text[:27]}...")
