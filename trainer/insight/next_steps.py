"""What to do with a trained model next, from its report alone: for the page and the model card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trainer.metric_names import METRIC_GOALS

Found = Mapping[str, Any]


def next_steps(report: Found) -> list[str]:
    """Sentences, the most urgent first; never none.

    >>> next_steps({"metrics": {"test": {"auc": 0.9}}, "model_dir": "runs/a/model"})[0][:34]
    'The model is ready in runs/a/model'
    """
    return [*_doubts(report), _use(report)]


def _doubts(report: Found) -> Iterator[str]:
    findings = report.get("doctor") or []
    severe = [one for one in findings if one["severity"] in ("alarm", "warning")]
    if severe:
        names = ", ".join(dict.fromkeys(one["illness"] for one in severe))
        yield f"Do first what the training doctor advises: {names}."
    metrics = report.get("metrics", {})
    if not metrics:
        yield "Hold rows out, by data.validation_fraction and test_fraction: nothing is measured."
        return
    if not metrics.get("test"):
        yield (
            "Hold test rows out, by data.test or data.test_fraction: the weights were chosen on "
            "the validation rows, whose figures are a little too good."
        )
    part = "test" if metrics.get("test") else "validation"
    yield from _references(report, part)
    last, kept = report.get("last_step"), report.get("kept_step")
    if report.get("stopped_by") == "budget" and last and kept == last and metrics.get("validation"):
        yield (
            f"Train for longer, by training.epochs: the last evaluation, at step {last:,}, was the "
            "best."
        )
    biased = [
        f"{one['column']} = {one['value']}"
        for one in report.get("slices", {}).get(part, [])
        if _is_biased(one)
    ]
    if biased:
        more = f" and {len(biased) - 3} more" if len(biased) > 3 else ""
        yield f"Look at the slices that are biased beyond chance: {', '.join(biased[:3])}{more}."
    warnings = (report.get("data_profile") or {}).get("warnings") or []
    if warnings:
        yield f"Look at the data profile: {len(warnings)} of its findings want an eye."


def _references(report: Found, part: str) -> Iterator[str]:
    """What it means where the model is no better than what it is compared with."""
    monitor = report.get("monitor", "")
    value = report["metrics"][part].get(monitor)
    baselines = report.get("baselines", {})
    at = {name: found.get(part, {}).get(monitor) for name, found in baselines.items()}
    sign = -1 if METRIC_GOALS.get(monitor) == "minimize" else 1
    beaten = {
        name
        for name, other in at.items()
        if value is not None and other is not None and sign * (value - other) <= 0
    }
    if "constant" in beaten:
        yield "Check label and columns before all else: the model is no better than the constant."
    elif "wide_only" in beaten:
        yield (
            "Try model.towers: wide, or another size of the deep part: the linear model alone is "
            "as good."
        )


def _is_biased(one: Found) -> bool:
    low, high = one.get("bias_low"), one.get("bias_high")
    return low is not None and high is not None and (low > 0 or high < 0)


def _use(report: Found) -> str:
    where = report.get("model_dir") or "the run's folder"
    return (
        f"The model is ready in {where}, a SavedModel of raw columns; before new rows are scored, "
        "scripts/drift.py tells whether they are still like these."
    )
