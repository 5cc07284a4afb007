"""What the training doctor looks at, and what it says. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from trainer.config import Config
from trainer.statistics import TableStatistics

Severity = Literal["alarm", "warning", "info"]


class Finding(NamedTuple):
    """An illness.

    Attributes:
        illness: its name.
        severity: alarm: the model is not to be trusted; warning: it could be better; info.
        evidence: the numbers that say so, and the line that they crossed.
        advice: what to do, by the names of our options.
    """

    illness: str
    severity: Severity
    evidence: str
    advice: str


class Repeats(NamedTuple):
    """Rows of validation whose features other rows have too.

    Attributes:
        share: of the rows, 0 to 1.
        num_free: these rows less the number of different ones: degrees of freedom of `variance`.
        variance: of the label among rows of equal features, which no model can explain.
        error: the model's mean squared error on these rows.
    """

    share: float
    num_free: int
    variance: float
    error: float


def listed(texts: Sequence[str], most: int = 4) -> str:
    """The first of them in one line.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def shares_text(shares: Mapping[str, float]) -> str:
    """Names with their shares, the largest first.

    >>> shares_text({"a": 0.5, "b": 0.956})
    'b 96%, a 50%'
    """
    worst_first = sorted(shares.items(), key=lambda item: -item[1])
    return listed([f"{name} {share:.0%}" for name, share in worst_first])


class Case(NamedTuple):
    """A run after training.

    Attributes:
        config: resolved.
        history: one record for each evaluation.
        health: see `health.health_of`; {} without evaluations.
        statistics: of the training rows.
        metrics: of the kept weights, by part.
        baselines: of the references, by name and part.
        monitor: name of the metric that chose the weights.
        maximize: whether more of it is better.
        kept_step: of the weights.
        stopped_by: why training ended.
        data_profile: the section of that name; {} where there is none.
        repeats: of the validation rows; None where none of them repeat.
        constant_loss: mean training loss of the best constant; of an untrained model about as much.
    """

    config: Config
    history: Sequence[Mapping[str, Any]]
    health: Mapping[str, Any]
    statistics: TableStatistics
    metrics: Mapping[str, Mapping[str, float]]
    baselines: Mapping[str, Mapping[str, Mapping[str, float]]]
    monitor: str
    maximize: bool
    kept_step: int
    stopped_by: str
    data_profile: Mapping[str, Any] = {}
    repeats: Repeats | None = None
    constant_loss: float = 1.0

    @property
    def losses(self) -> list[float]:
        """Mean training loss up to each evaluation, since the one before."""
        return [record["loss"] for record in self.history]

    @property
    def held_out(self) -> Mapping[str, float]:
        """Metrics of the validation rows; {} without them."""
        return self.metrics.get("validation", {})
