"""The sections of a run's report: who makes them, in which order, and what a failure costs."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from trainer import storage
from trainer.config import Config
from trainer.errors import Interrupted
from trainer.insight import (
    column_insights,
    curves,
    doctor,
    evaluation_tables,
    event_files,
    fairness,
    health,
    learned_weights,
    origin,
    page_files,
    slices,
    verdict,
)
from trainer.insight.evidence import Evidence, Sections
from trainer.run_folder import RunFolder

logger = logging.getLogger(__name__)

Producer = Callable[[Evidence], Sections]

# In this order; a later one finds the sections of the earlier ones in `evidence.report`. Each
# gives its keys of report.json, as plain numbers, texts, lists and dicts: {} where it has nothing
# to say.
PRODUCERS: tuple[Producer, ...] = (
    origin.produce,
    curves.produce,
    evaluation_tables.produce,
    slices.produce,
    fairness.produce,
    column_insights.produce,
    learned_weights.produce,
    health.produce,
    doctor.produce,
    event_files.produce,
    verdict.produce,
)

# A model that is trained and exported is worth more than a page: a section that fails is left out.
# Tests set () here, so that they see the failure itself.
FORGIVEN: tuple[type[Exception], ...] = (Exception,)
_DIGITS = 6


def collect(evidence: Evidence, producers: Sequence[Producer] = PRODUCERS) -> Sections:
    """The sections of report.json by key, floats rounded to 6 significant digits.

    Raises:
        Interrupted: a signal came, or Cloud Storage does not answer.
    """
    sections: Sections = {}
    for produce in producers:
        started = time.monotonic()
        name = produce.__module__.rpartition(".")[2]
        with _forgiving(name):
            found = rounded(produce(evidence._replace(report={**evidence.report, **sections})))
            json.dumps(found)
            sections |= found
        logger.debug("%s took %.2f s", name, time.monotonic() - started)
    return sections


def present(report: Mapping[str, Any], folder: RunFolder) -> None:
    """Write the page, the card and the tables of a report.

    The card does not go to the model's folder: that does not change once the model stands in it.

    Raises:
        Interrupted: a signal came, or Cloud Storage does not answer.
    """
    with _forgiving("page"):
        page_files.write_pages(report, folder.job_dir)
        logger.info("report: %s", storage.join(folder.job_dir, "report.html"))


def log_trial(config: Config, report: Mapping[str, Any], folder: RunFolder) -> None:
    """Hyperparameters and the metric reached, for TensorBoard; a run without a report has them too.

    Raises:
        Interrupted: a signal came, or Cloud Storage does not answer.
    """
    with _forgiving("hyperparameters"):
        event_files.write_hparams(config, report, folder.log_dir)


@contextlib.contextmanager
def _forgiving(name: str) -> Iterator[None]:
    try:
        yield
    except Interrupted:
        raise
    except FORGIVEN as error:
        text = f"{type(error).__name__}: {error}"
        logger.warning("the report has no %s: %s", name, text[:500])


def rounded(value: Any) -> Any:
    """The same with plain Python numbers; arrays become lists.

    Floats get 6 significant digits; what is not finite, which JSON lacks, becomes None.

    >>> rounded({"a": [1 / 3, 12345678.9], "b": 7, "c": None})
    {'a': [0.333333, 12345700.0], 'b': 7, 'c': None}
    """
    if hasattr(value, "tolist"):  # a numpy array or number
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if not isinstance(value, float):
        return value
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
