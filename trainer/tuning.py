"""The objective of a hyperparameter tuning job, written where Vertex AI reads it; no TensorFlow.

One `MetricReporter` a process: the hypertune library rewrites its whole file at each report from a
list that every instance keeps for itself, so a second instance would wipe the first one's values.
"""

from __future__ import annotations

import collections
import logging
import math
import os
from collections.abc import Iterable, Mapping
from typing import Any

from trainer.errors import UserError, nearest
from trainer.vertex import VertexEnvironment

logger = logging.getLogger(__name__)

# hypertune's own default, read by the tuning service where CLOUD_ML_HP_METRIC_FILE is not set.
_DEFAULT_METRIC_FILE = "/tmp/hypertune/output.metrics"
# Fields of hypertune's line: a tag of that name would overwrite them.
RESERVED_TAGS = ("trial", "timestamp", "global_step", "checkpoint_path")
# Newest reports that are kept, hypertune's own bound.
_MAX_REPORTS = 100


class MetricReporter:
    """Reports the value that a tuning study compares, on the chief of a trial only."""

    def __init__(self, metric_tag: str, monitor: str, environment: VertexEnvironment):
        """Resolve the tag.

        Args:
            metric_tag: `tuning.metric_tag`, the metricId of the study; auto: `val_<monitor>`. It
                means the validation metric of that name, without or with `val_` before it.
            monitor: the monitored metric, e.g. rmse.
            environment: of this replica.

        Raises:
            UserError: the tag is empty, has whitespace or is a field of hypertune's file.
        """
        self.tag = _checked_tag(f"val_{monitor}" if metric_tag == "auto" else metric_tag)
        self.metric = self.tag.removeprefix("val_")
        in_trial = environment.trial_id is not None or environment.metric_file is not None
        self.is_active = in_trial and environment.cluster.is_chief
        self._hypertune = _make_hypertune(environment) if self.is_active else None
        self._has_reported = False

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        """Report an evaluation.

        A value that is not finite is left out with a warning: the service would take "nan" for a
        measurement.

        Args:
            step: training steps so far.
            metrics: validation metrics by name. Where one name begins with `val_`, only such names
                are validation metrics, and the others (`loss`, `seconds`) are not looked at.

        Raises:
            UserError: the first evaluation has no such metric.
        """
        if self._hypertune is None:
            return
        of_validation = {
            name.removeprefix("val_"): value
            for name, value in metrics.items()
            if name.startswith("val_")
        } or metrics
        value = of_validation.get(self.metric)
        if value is None:
            self._miss(step, of_validation)
        elif not math.isfinite(value):
            logger.warning("tuning: %s is %s at step %d; not reported", self.tag, value, step)
        else:
            self._hypertune.report_hyperparameter_tuning_metric(self.tag, value, global_step=step)
            self._has_reported = True

    def report_final(self, step: int, metrics: Mapping[str, float]) -> None:
        """Report the weights that are exported; last, as a study takes the last value by default.

        Source: StudySpec.MeasurementSelectionType, unspecified means LAST_MEASUREMENT.
        """
        self.report(step, metrics)

    def replay(self, history: Iterable[Mapping[str, Any]]) -> None:
        """Report the evaluations of earlier starts again, before this one's.

        A restarted trial may find an empty disk, and the first report replaces the file.

        Args:
            history: a mapping per evaluation: `step`, and the metrics as in `report`.
        """
        for record in history:
            self.report(record["step"], record)

    def _miss(self, step: int, metrics: Mapping[str, float]) -> None:
        if not self._has_reported:
            names = ", ".join(sorted(metrics)) or "nothing: there are no validation rows"
            raise UserError(
                f"tuning.metric_tag {self.tag!r} needs the validation metric {self.metric!r}; the "
                f"evaluation has {names}{nearest(self.metric, metrics)}"
            )
        logger.warning("tuning: no %s at step %d; not reported", self.tag, step)


def _checked_tag(tag: str) -> str:
    if not tag.removeprefix("val_") or any(character.isspace() for character in tag):
        raise UserError(
            "tuning.metric_tag must be the metricId of the study, without whitespace, e.g. "
            f"val_rmse; received {tag!r}"
        )
    if tag in RESERVED_TAGS:
        raise UserError(
            f"tuning.metric_tag must not be one of {', '.join(RESERVED_TAGS)}, the other fields "
            f"of hypertune's file; received {tag!r}. Rename the study's metricId, e.g. val_rmse"
        )
    return tag


def _make_hypertune(environment: VertexEnvironment) -> Any:
    """A HyperTune that writes where `environment` says.

    Its constructor is passed by: it reads os.environ itself, makes the folder found there, and
    fails on a file without a folder. A test compares the attributes with the constructor's.
    """
    import hypertune

    path = os.path.abspath(environment.metric_file or _DEFAULT_METRIC_FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    reporter = hypertune.HyperTune.__new__(hypertune.HyperTune)
    reporter.metric_path = path
    reporter.trial_id = environment.trial_id or 0
    reporter.metrics_queue = collections.deque(maxlen=_MAX_REPORTS)
    return reporter
