"""Rounds, medians, and what else the machine did meanwhile.

A figure is a list of rounds. Things that are compared are measured in alternation, in one order and
then in the other, so that a change of the machine's mood weighs on both.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# Cores that others used, from which on a round counts as disturbed.
BUSY_CORES = 0.1


@dataclasses.dataclass(frozen=True)
class Figure:
    """What was measured under one name.

    Attributes:
        key: `<section>/<what>`.
        unit: of the rounds, e.g. rows/s, s, ms, MB.
        rounds: what each round gave.
        load: the system's load average of one minute at the end of each round; this benchmark's own
            work is in it.
        others: cores that other processes used during each round; -1 where it cannot be told.
    """

    key: str
    unit: str
    rounds: tuple[float, ...]
    load: tuple[float, ...] = ()
    others: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        """Of the rounds.

        >>> Figure("read/csv", "rows/s", (3.0, 1.0, 2.0)).median
        2.0
        """
        return statistics.median(self.rounds)

    @property
    def is_disturbed(self) -> bool:
        """Whether another process took part of the machine in half of the rounds or more."""
        return bool(self.others) and statistics.median(self.others) > BUSY_CORES

    def line(self) -> str:
        """One line of the table."""
        spread = f"{plain(min(self.rounds))} - {plain(max(self.rounds))}"
        warning = f"  BUSY: others used {max(self.others):.1f} cores" if self.is_disturbed else ""
        text = f"{self.key:<52} {plain(self.median):>12} {self.unit:<11} [{spread}]"
        return f"{text}{warning}"


def plain(value: float) -> str:
    """A number with as many digits as say something.

    >>> plain(1234567.8), plain(12.345), plain(0.01234)
    ('1,234,568', '12.3', '0.0123')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def paired_ratio(above: Figure, below: Figure) -> float:
    """The median over the rounds of one figure through the other's of the same round.

    Where they have not equally many rounds they were not alternated: the ratio of the medians.

    >>> a, b = Figure("a", "s", (2.0, 8.0, 9.0)), Figure("b", "s", (1.0, 2.0, 3.0))
    >>> paired_ratio(a, b)
    3.0
    """
    if len(above.rounds) != len(below.rounds):
        return above.median / below.median
    return statistics.median(a / b for a, b in zip(above.rounds, below.rounds, strict=True))


class Watch:
    """What others do on the machine between two looks."""

    def __init__(self) -> None:
        """Begin to look."""
        self._root = os.getpid()
        self._before = self._look()

    def others(self) -> float:
        """Cores used since the start by processes that are not below this one; -1 if unknown."""
        now = self._look()
        if now is None or self._before is None:
            return -1.0
        seconds, machine, own = (a - b for a, b in zip(now, self._before, strict=True))
        # Both counters go by hundredths of a second, so a short look says nothing.
        return max(machine - own, 0.0) / seconds if seconds > 0.2 else -1.0

    def _look(self) -> tuple[float, float, float] | None:
        """The clock, the machine's seconds of CPU time, and those of our processes."""
        try:
            fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        except OSError:
            return None
        ticks = os.sysconf("SC_CLK_TCK")
        user, nice, system, _, _, irq, softirq, steal = (int(f) for f in fields[:8])
        machine = (user + nice + system + irq + softirq + steal) / ticks
        return time.perf_counter(), machine, _tree_ticks(self._root) / ticks


def _tree_ticks(root: int) -> int:
    """CPU time of a process, what is below it, and what was, in clock ticks."""
    parents, used = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(") ")[2].split()
        except OSError:
            continue  # it ended
        pid = int(path.parent.name)
        parents[pid] = int(fields[1])
        used[pid] = sum(int(f) for f in fields[11:15])

    def is_ours(pid: int) -> bool:
        while pid > 1 and pid != root:
            pid = parents.get(pid, 0)
        return pid == root

    return sum(ticks for pid, ticks in used.items() if is_ours(pid))


class Recorder:
    """Measures, and tells each figure as soon as it is there."""

    def __init__(self, tell: Callable[[Figure], None], rounds: int):
        """Measure so many rounds unless told otherwise."""
        self._tell, self.rounds = tell, rounds

    def tell(self, key: str, unit: str, rounds: Sequence[float]) -> Figure:
        """A figure that was measured elsewhere."""
        figure = Figure(key, unit, tuple(rounds))
        self._tell(figure)
        return figure

    def alternate(
        self, unit: str, works: Mapping[str, Callable[[], float]], rounds: int | None = None
    ) -> dict[str, Figure]:
        """Every work once a round, the order turned around each time.

        Args:
            unit: of what the works give.
            works: by key; each gives the round's figure.
            rounds: how many.
        """
        found: dict[str, list[tuple[float, float, float]]] = {key: [] for key in works}
        order = list(works)
        for _ in range(rounds or self.rounds):
            for key in order:
                watch = Watch()
                value = works[key]()
                found[key].append((value, os.getloadavg()[0], watch.others()))
            order.reverse()
        figures = {}
        for key, rows in found.items():
            values, load, others = zip(*rows, strict=True)
            figures[key] = Figure(key, unit, values, load, others)
            self._tell(figures[key])
        return figures

    def rates(
        self,
        unit: str,
        works: Mapping[str, Callable[[], int]],
        rounds: int | None = None,
    ) -> dict[str, Figure]:
        """As `alternate` for works that give how many things they did: things a second."""
        timed = {key: _rate_of(work) for key, work in works.items()}
        return self.alternate(unit, timed, rounds)


def _rate_of(work: Callable[[], int]) -> Callable[[], float]:
    def rate() -> float:
        started = time.perf_counter()
        count = work()
        return count / (time.perf_counter() - started)

    return rate


def seconds_of(work: Callable[[], object]) -> Callable[[], float]:
    """The work as one that gives its own seconds."""

    def seconds() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return seconds
