"""What the fuzz tests share: how many inputs, damaged bytes, and what an error must look like."""

import contextlib
import signal

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from trainer.errors import MAX_CHARACTERS, UserError

# Inputs take milliseconds; a loaded machine may hold one up.
SECONDS_PER_INPUT = 20.0


def fuzz(share=1.0):
    """The settings of a fuzz test that takes that share of the inputs."""
    profile = settings.get_profile("fuzz")
    return settings(profile, max_examples=max(1, round(profile.max_examples * share)))


@contextlib.contextmanager
def only_clear_errors():
    """A block that may end with a UserError of one readable line, and must end.

    Gives a list that holds the message if there was one.
    """
    messages = []

    def give_up(signum, frame):
        pytest.fail(f"an input took more than {SECONDS_PER_INPUT} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_PER_INPUT)
    try:
        yield messages
    except UserError as error:
        messages.append(str(error))
        assert messages[0].isprintable()
        assert 10 < len(messages[0]) <= MAX_CHARACTERS
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@st.composite
def damaged(draw, originals, pieces=()):
    """One of `originals` (bytes) with up to six places changed, cut, doubled or filled.

    `pieces` are bytes that are likely to hurt.
    """
    data = draw(st.sampled_from(originals))
    filling = st.binary(min_size=1, max_size=6)
    if pieces:
        filling = st.one_of(st.sampled_from(list(pieces)), filling)
    for _ in range(draw(st.integers(1, 6))):
        # From the end as well: the directory of a Parquet file stands there.
        start = draw(st.integers(0, max(0, len(data) - 1)))
        if draw(st.booleans()):
            start = max(0, len(data) - 1 - start % 2000)
        stop = start + draw(st.integers(0, 8))
        kind = draw(st.sampled_from(("replace", "insert", "delete", "flip", "cut", "double")))
        if kind == "replace":
            data = data[:start] + draw(filling) + data[stop:]
        elif kind == "insert":
            data = data[:start] + draw(filling) + data[start:]
        elif kind == "delete":
            data = data[:start] + data[stop:]
        elif kind == "flip" and data:
            data = (
                data[:start]
                + bytes([data[start] ^ (1 << draw(st.integers(0, 7)))])
                + data[start + 1 :]
            )
        elif kind == "cut":
            data = data[:start]
        else:
            data = data[:stop] + data[start:]
    return data


# Values that stand where a number, a text, a list or a mapping is expected.
ODD_NUMBERS = st.one_of(
    st.sampled_from((0, -1, 1, 2, 7, 10**6, 10**15, 10**18, 2**63, 2**64, -(2**63) - 1, 10**400)),
    st.sampled_from((0.0, -0.0, 0.5, 64.0, 1e-320, 1e300)),
    st.sampled_from((float("inf"), -float("inf"), float("nan"))),
)
_TEXTS = "auto true no null 1e3 0x10 nan -inf 1_000 [ [1, {} .. / gs:// gs://b * ** a,b %Y numeric"
ODD_TEXTS = st.one_of(
    st.sampled_from(("", " ", "\0", "\x1b[2J", "\ud800", "\u202e", "a\nb", *_TEXTS.split())),
    st.sampled_from(("9" * 5000, "[" * 2000, "x" * 3000, "sample:train", "sample:x")),
    st.text(max_size=8),
)
ODD_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), ODD_NUMBERS, ODD_TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(ODD_TEXTS, inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def with_odd_values(draw, originals):
    """One of `originals` (nested dicts and lists) with up to four of its places changed.

    A place gets an odd value, goes, comes twice, or takes the value of another place.
    """
    values = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 4))):
        places = list(_places(values))
        path = draw(st.sampled_from(places))
        kind = draw(st.sampled_from(("odd", "odd", "drop", "new", "swap")))
        other = draw(st.sampled_from(places))
        change = _at(values, other) if kind == "swap" else draw(ODD_VALUES)
        values = _changed(values, path, kind, change, draw(ODD_TEXTS))
    return values


def _places(values, path=()):
    yield path
    items = values.items() if isinstance(values, dict) else ()
    if isinstance(values, list):
        items = enumerate(values)
    for key, value in items:
        yield from _places(value, (*path, key))


def _at(values, path):
    for key in path:
        values = values[key]
    return values


def _changed(values, path, kind, change, name):
    """A copy of `values` with the change at a path."""
    if path:
        key, *rest = path
        copy = values.copy()
        if not rest and kind == "drop":
            del copy[key]
        else:
            copy[key] = _changed(values[key], tuple(rest), kind, change, name)
        return copy
    if kind == "new" and isinstance(values, dict):
        return {**values, name: change}
    if kind == "new" and isinstance(values, list):
        return [*values, change]
    return values if kind == "drop" else change
