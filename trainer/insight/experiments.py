"""A run for Vertex AI: its parameters and metrics in an experiment, its evaluation of a model.

google-cloud-aiplatform is imported when it is asked for only, and finds project, region and
credentials as it does everywhere: in its own settings, or the variables of a Vertex job.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Mapping
from typing import Any

from trainer.config import Config
from trainer.errors import UserError

logger = logging.getLogger(__name__)

_SECTIONS = {"model", "optimizer", "training", "evaluation", "label"}
# Of metrics of this trainer the names of Vertex AI's schemas, by task.
# Source: gs://google-cloud-aiplatform/schema/modelevaluation/
_SCHEMA = "gs://google-cloud-aiplatform/schema/modelevaluation/{}_metrics_1.0.0.yaml"
_REGRESSION = {
    "rmse": "rootMeanSquaredError",
    "mae": "meanAbsoluteError",
    "r2": "rSquared",
    "rmsle": "rootMeanSquaredLogError",
}
_CLASSIFICATION = {"auc": "auRoc", "pr_auc": "auPrc", "log_loss": "logLoss"}


def check_sdk() -> None:
    """Say before training that the SDK is missing.

    Raises:
        UserError: google-cloud-aiplatform is not installed.
    """
    try:
        is_there = importlib.util.find_spec("google.cloud.aiplatform") is not None
    except ModuleNotFoundError:
        is_there = False
    if not is_there:
        raise UserError(
            "output.experiment needs google-cloud-aiplatform, which is not installed; "
            "pip install 'wide-and-deep-trainer[vertex]', or leave experiment out"
        )


def log_run(experiment: str, config: Config, report: Mapping[str, Any], job_dir: str) -> None:
    """Write the run into an experiment, which is made if need be.

    The model is there already: what the service refuses is a warning.
    """
    from google.api_core.exceptions import GoogleAPIError, NotFound
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import aiplatform

    name = run_name(job_dir)
    try:
        aiplatform.init(experiment=experiment, experiment_tensorboard=False)
        try:
            run = aiplatform.ExperimentRun(name, experiment)
        except (NotFound, ValueError):
            run = aiplatform.ExperimentRun.create(name, experiment=experiment)
        run.log_params(parameters(config))
        run.log_metrics(metrics(report))
        run.end_run()
    except (GoogleAPIError, GoogleAuthError, ValueError, OSError) as error:
        logger.warning(
            "experiment %s has no run %s: %s: %s",
            experiment,
            name,
            type(error).__name__,
            str(error).splitlines()[0] if str(error) else "no message",
        )
        return
    logger.info("run %s of experiment %s is written", name, experiment)


def run_name(job_dir: str) -> str:
    """The name of a run in an experiment: the last two parts of its folder.

    >>> run_name("gs://bucket/studies/Fares_1/7/")
    'fares-1-7'
    """
    parts = [part for part in re.split(r"[/\\]", job_dir) if part][-2:]
    name = re.sub(r"[^a-z0-9-]+", "-", "-".join(parts).lower()).strip("-")
    return name[-120:].strip("-") or "run"


def parameters(config: Config) -> dict[str, float | int | str]:
    """Settings of model and training by dotted key; lists as texts, absent ones left out."""
    found: dict[str, float | int | str] = {}
    for section, values in config.model_dump(mode="json", include=_SECTIONS).items():
        for name, value in values.items():
            if value is not None:
                is_plain = isinstance(value, int | float | str) and not isinstance(value, bool)
                found[f"{section}.{name}"] = value if is_plain else str(value)
    return found


def metrics(report: Mapping[str, Any]) -> dict[str, float | int | str]:
    """Final metrics by part, `test_rmse`, and the step whose weights were kept."""
    found: dict[str, float | int | str] = {
        f"{part}_{name}": float(value)
        for part, values in report["metrics"].items()
        for name, value in values.items()
    }
    return found | {"kept_step": float(report["kept_step"])}


def model_evaluation(report: Mapping[str, Any]) -> dict[str, Any]:
    """ModelEvaluation of the test rows, else the validation rows, as the API reads it.

    Raises:
        UserError: the run has no held-out rows.
    """
    part = next((name for name in ("test", "validation") if name in report["metrics"]), None)
    if part is None:
        raise UserError("the run has no held-out rows, so there is no evaluation to import")
    is_regression = report["task"] == "regression"
    names = _REGRESSION if is_regression else _CLASSIFICATION
    values = report["metrics"][part]
    return {
        "displayName": f"{report['label']}, {part} rows",
        "metricsSchemaUri": _SCHEMA.format("regression" if is_regression else "classification"),
        "metrics": {theirs: values[mine] for mine, theirs in names.items() if mine in values},
    }
