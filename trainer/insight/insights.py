"""The sections of a run's report: who makes them, in which order, and what a failure costs."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from trainer.errors import Interrupted
from trainer.insight import curves
from trainer.insight.evidence import Evidence, Sections

logger = logging.getLogger(__name__)

Producer = Callable[[Evidence], Sections]

# In this order; a later one finds the sections of the earlier ones in `evidence.report`. Each
# gives its keys of report.json, as plain numbers, texts, lists and dicts: {} where it has nothing
# to say.
PRODUCERS: tuple[Producer, ...] = (curves.produce,)

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
        try:
            found = rounded(produce(evidence._replace(report={**evidence.report, **sections})))
            json.dumps(found)
        except Interrupted:
            raise
        except FORGIVEN as error:
            logger.warning(
                "the report has no %s: %s: %s", name, type(error).__name__, str(error)[:500]
            )
            continue
        sections |= found
        logger.debug("%s took %.2f s", name, time.monotonic() - started)
    return sections


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
