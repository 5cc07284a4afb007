"""What init tells on the terminal: rows, columns with reasons, findings, the next commands.

Imports table_study and config_writer.
"""

from __future__ import annotations

from trainer.init.column_kinds import ColumnChoice
from trainer.init.config_writer import constant_score, looked_at
from trainer.init.table_study import Study

_NAME_WIDTH, _REASON_WIDTH = 28, 78
_MOST_ROWS = 60


def account(study: Study, config_path: str, tuning_path: str) -> str:
    """The text, lines of about 120 characters."""
    target = study.target
    metric, value = constant_score(study)
    measure = "R^2 of ranks" if target.task == "regression" else "Gini, 2 AUC - 1"
    lines = [
        f"looked at {looked_at(study)}",
        f"target: {target.name}, {target.label_task}: {target.reason}; the constant has {metric} "
        f"{value:.4g}",
        f"columns ({measure} of each alone, on held-out rows):",
    ]
    width = min(_NAME_WIDTH, max(len(choice.name) for choice in study.choices))
    ordered = sorted(study.choices, key=lambda choice: -study.powers[choice.name])
    lines += [_row(choice, study, width) for choice in ordered[:_MOST_ROWS]]
    if len(ordered) > _MOST_ROWS:
        lines.append(f"  and {len(ordered) - _MOST_ROWS} that tell less; see {config_path}")
    if study.way is not None:
        way = study.way
        points = f"from {way.start.latitude}, {way.start.longitude} to {way.end.latitude}, "
        lines.append(f"  {way.name:{width}}  geo          {'':>5}  {points}{way.end.longitude}")
    lines += [f"note: {finding}" for finding in study.findings]
    if study.crosses:
        pairs = ", ".join(" x ".join(cross.columns) for cross in study.crosses[:4])
        lines.append(f"crosses proposed, as comments: {pairs}")
    split = f"by {study.split_column}" if study.split_column else "by row"
    for part in ("validation", "test"):
        if not getattr(study.wishes, part):
            lines.append(f"{part}: {study.fraction:.0%} of the rows, {split}")
    lines += [
        f"wrote {config_path} and {tuning_path}",
        f"next: python -m trainer.task --config={config_path}",
    ]
    return "\n".join(lines)


def _row(choice: ColumnChoice, study: Study, width: int) -> str:
    name = _cut(choice.name or "(no name)", width)
    missing = study.missing[choice.name]
    reason = choice.reason + (f"; {missing:.1%} missing" if missing else "")
    power = f"{study.powers[choice.name]:.2f}"
    return f"  {name:{width}}  {choice.kind:12} {power:>5}  {_cut(reason, _REASON_WIDTH)}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
