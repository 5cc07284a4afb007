"""The verdict on a run in three sentences: its worth, its bias, its health."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.insight.evidence import Evidence, Sections
from trainer.insight.page import number_text
from trainer.metric_names import METRIC_GOALS

Found = Mapping[str, Any]
_NAMES = {"constant": "the constant", "wide_only": "the wide-only model"}


def produce(evidence: Evidence) -> Sections:
    """`verdict`: three sentences, of the test rows, or of validation where there are none."""
    report = evidence.report
    part = next((part for part in ("test", "validation") if report["metrics"].get(part)), None)
    if part is None:
        nothing = "No rows were held out: nothing is known of how good the model is."
        return {"verdict": [nothing, health(report)]}
    return {"verdict": [worth(report, part), bias(report, part), health(report)]}


def worth(report: Found, part: str) -> str:
    """The monitored metric beside those of the references."""
    metric = report["monitor"]
    value = report["metrics"][part].get(metric)
    if value is None:
        return f"The {part} rows do not define {metric}."
    head = f"On {report['rows'][part]:,} {part} rows {metric} is {number_text(value)}"
    against = [
        _against(value, found[part][metric], _NAMES.get(name, name.replace("_", " ")), metric)
        for name, found in report["baselines"].items()
        if metric in found.get(part, {})
    ]
    return f"{head}: {', '.join(against)}." if against else f"{head}."


def _against(value: float, reference: float, name: str, metric: str) -> str:
    """How a metric stands to that of a reference.

    >>> _against(1.0, 4.0, "the constant", "rmse"), _against(0.9, 0.8, "the trees", "auc")
    ('75.0% below the constant (4)', '0.1 above the trees (0.8)')
    >>> _against(2.0, 1.0, "the trees", "rmse")
    '100.0% WORSE than the trees (1)'
    """
    maximizes = METRIC_GOALS[metric] == "maximize"
    gain = value - reference if maximizes else reference - value
    # Of a share, such as AUC, a difference says more than a ratio.
    size = f"{abs(gain):.3g}" if maximizes or reference <= 0 else f"{abs(gain / reference):.1%}"
    if gain == 0:
        return f"equal to {name}"
    relation = ("above" if maximizes else "below") if gain > 0 else "WORSE than"
    return f"{size} {relation} {name} ({number_text(reference)})"


def bias(report: Found, part: str) -> str:
    """Whether predictions are right on average, and where they are not."""
    metrics = report["metrics"][part]
    found = report.get("evaluation", {}).get(part, {})
    texts = []
    mean, label = metrics.get("mean_prediction"), metrics.get("mean_label")
    if mean is not None and label is not None:
        text = f"predictions average {number_text(mean)}, labels {number_text(label)}"
        texts.append(text + (f" ({mean / label - 1:+.1%})" if label > 0 else ""))
    if found.get("ece") is not None:
        texts.append(f"the expected calibration error is {found['ece']:.3g}")
    if part in report.get("slices", {}):
        texts.append(_worst_slice(report["slices"][part]))
    if not texts:
        return f"Nothing is known of its bias on the {part} rows."
    return f"{texts[0][0].upper()}{texts[0][1:]}{''.join(f'; {text}' for text in texts[1:])}."


def _worst_slice(slices: Any) -> str:
    """The first slice, which is the worst, where its interval does not hold 0."""
    for one in slices:
        low, high = one.get("bias_low"), one.get("bias_high")
        if low is not None and high is not None and (low > 0 or high < 0):
            worst = "biased"
            if one.get("metric") == "accuracy":  # The bias is of the model's trust in its classes.
                worst = "overconfident" if low > 0 else "underconfident"
            return (
                f"the most {worst} slice is {one['column']} = {one['value']} "
                f"({_signed(one['bias'])}, {_signed(low)} to {_signed(high)}, "
                f"{one['rows']:,} rows)"
            )
    return "no slice is biased beyond chance"


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else ''}{number_text(value)}"


def health(report: Found) -> str:
    """The doctor's worst finding, or how training ended."""
    findings = report.get("doctor")
    if findings:
        worst = findings[0]
        more = f" ({len(findings) - 1} more below)" if len(findings) > 1 else ""
        return (
            f"Doctor's {worst['severity']}: {worst['illness']}, {worst['evidence']}; "
            f"{worst['advice']}{more}."
        )
    kept = f"the weights of step {report['kept_step']:,} of {report['last_step']:,} are kept"
    if findings is None:
        return f"Training was stopped by {report['stopped_by']}; {kept}."
    return f"The training doctor found no illness; {kept}."
