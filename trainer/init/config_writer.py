"""The config of a study as YAML that says what was decided and why.

The text is read back and checked before it is given. Imports table_study, config, yaml_text.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainer.config import parse_config
from trainer.errors import one_line
from trainer.init.column_kinds import ColumnChoice
from trainer.init.cross_proposals import CrossProposal
from trainer.init.table_study import Study, data_values
from trainer.yaml_text import load_yaml

_WIDTH = 100
# Texts that every YAML reads as they stand; what 1.1 or 1.2 takes for something else is quoted.
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*", re.A)
_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"))


def config_text(study: Study, config_path: str, tuning_path: str) -> str:
    """The YAML of a config that trains as it stands.

    Args:
        study: the decisions.
        config_path: where the text will be, for its head.
        tuning_path: where the tuning study will be.

    Raises:
        UserError: the trainer would refuse it, e.g. since a column has an unusable name.
    """
    lines = [
        *_head(study, config_path, tuning_path),
        "",
        *_data(study),
        "",
        *_commented(study.target.reason, ""),
        f"label: {flow(study.target.label)}",
        "",
        *_columns(study),
        *_crosses(study),
        "",
        *_commented(
            "model, optimizer and training keep the trainer's defaults, which need no tuning: "
            "python -m trainer.task --help lists them. Set here what should differ, as "
            "`model: {dropout: 0.3}`.",
            "",
        ),
    ]
    text = "\n".join(lines) + "\n"
    parse_config(load_yaml(text, config_path), config_path)
    return text


def constant_score(study: Study) -> tuple[str, float]:
    """What a constant prediction gets on the sampled rows: rmse, or log_loss, with its value."""
    values = study.target.values[np.isfinite(study.target.values)]
    if study.target.task == "regression":
        return "rmse", float(values.std())
    counts = study.target.class_counts or (values.sum(), len(values) - values.sum())
    shares = np.array(counts) / len(values)
    return "log_loss", float(-(shares * np.log(shares)).sum())


def looked_at(study: Study) -> str:
    """Which rows the decisions rest on, in words."""
    sample = study.sample
    files = f"{len(sample.files)} file{'s' if len(sample.files) > 1 else ''}"
    if sample.is_whole:
        return f"all {sample.num_rows:,} rows of {files}"
    about = "" if sample.is_counted else "about "
    how = f"from {sample.num_places} places spread over {files}"
    if not sample.num_places:
        how = f"chosen by a hash of their number, of {files}"
    return f"{sample.num_rows:,} of {about}{sample.total_rows:,} rows, {how}"


def flow(value: Any) -> str:
    """A value as YAML on one line.

    >>> flow({"kind": "datetime", "format": "%Y", "towers": [], "x": 1.5, "yes": "no"})
    '{kind: datetime, format: "%Y", towers: [], x: 1.5, "yes": "no"}'
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def _head(study: Study, config_path: str, tuning_path: str) -> list[str]:
    target = study.target
    num_features = sum(choice.is_feature for choice in study.choices)
    metric, value = constant_score(study)
    best = max(
        (choice for choice in study.choices if choice.is_feature),
        key=lambda choice: study.powers[choice.name],
    )
    measure = "R^2 of ranks" if target.task == "regression" else "Gini coefficient"
    return [
        *_commented(
            f"{target.name} ({target.label_task}) from {num_features} of {len(study.choices)} "
            f"columns; made by python -m trainer.init, which looked at {looked_at(study)}.",
            "",
        ),
        "#",
        f"#   python -m trainer.task --config={config_path}",
        "#",
        *_commented(
            f"The run ends with lines of validation and test. To beat: the constant, {metric} "
            f"{value:.4g} on these rows, which stands beside the model there. The column that "
            f"tells most by itself is {best.name}, {measure} {study.powers[best.name]:.2f}.",
            "",
        ),
        *_commented(f"A study over the main settings: {tuning_path}.", ""),
    ]


def _data(study: Study) -> list[str]:
    values = data_values(study)
    lines = ["data:"]
    for key, value in values.items():
        lines += _commented(_data_reason(key, study), "  ")
        if key in ("train", "validation", "test") and len(value) == 1:
            value = value[0]
        lines += _entry(key, value, "  ")
    for note in study.split_notes:
        lines += _commented(note, "  ")
    return lines


def _entry(key: str, value: Any, indent: str) -> list[str]:
    """`key: value`, a long list with an item a line."""
    line = f"{indent}{flow(key)}: {flow(value)}"
    if len(line) <= _WIDTH or not isinstance(value, list):
        return [line]
    return [f"{indent}{flow(key)}:", *(f"{indent}  - {flow(item)}" for item in value)]


def _data_reason(key: str, study: Study) -> str:
    reasons = {
        "validation_fraction": "Held out by a hash: the same rows in every run.",
        "split_column": "By its values, so that a row stays where it is in files written anew.",
        "column_names": "The files have no header line; these are their fields, in order.",
        "null_values": "Texts that mean missing: the trainer's own, and those found among numbers.",
        "max_bad_rows": "Rows without a target or with another number of fields are left out; the "
        "run stops at more than so many"
        + ("." if study.sample.is_whole else ", a bound from those in the sample."),
    }
    return reasons.get(key, "")


def _columns(study: Study) -> list[str]:
    kept = [choice for choice in study.choices if choice.kind != "ignore"]
    left = [choice for choice in study.choices if choice.kind == "ignore"]
    lines = ["columns:"]
    for choice in kept:
        lines += _column(choice, study)
    if study.way is not None:
        lines += _commented("distances and course between two points", "  ")
        lines += _mapping(study.way.name, study.way.options)
    if left:
        lines += [
            "",
            *_commented("Left out; the kind to write for taking one back is named.", "  "),
        ]
    for choice in left:
        lines += _column(choice, study)
    return lines


def _column(choice: ColumnChoice, study: Study) -> list[str]:
    reason = choice.reason
    if study.missing[choice.name]:
        reason += f"; {_percent(study.missing[choice.name])} missing"
    if choice.instead is not None and not choice.is_feature:
        reason += f"; instead: {choice.instead}"
    if not choice.name:
        return _commented(f"(a column without a name): {reason}", "  ")
    value = choice.kind if list(choice.options) == ["kind"] else choice.options
    line = f"  {flow(choice.name)}: {flow(value)}"
    ended = [note if note.endswith("?") else f"{note}." for note in choice.findings]
    notes = [line for note in ended for line in _commented(f"Look: {note}", "  ")]
    if len(f"{line} # {reason}") <= _WIDTH:
        return [*notes, f"{line} # {one_line(reason)}"]
    return [*notes, *_commented(reason, "  "), *_mapping(choice.name, value)]


def _mapping(name: str, value: Any) -> list[str]:
    """`name: value` of a column, with an option a line where it is long."""
    line = f"  {flow(name)}: {flow(value)}"
    if len(line) <= _WIDTH or not isinstance(value, Mapping):
        return [line]
    return [f"  {flow(name)}:", *(f"    {flow(k)}: {flow(v)}" for k, v in value.items())]


def _crosses(study: Study) -> list[str]:
    """Proposals as comments; what they would take is spelled out, ready to be uncommented."""
    if not study.crosses:
        return []
    explanation = (
        "Pairs that tell more together than each alone, in bits a row about the target on "
        "held-out rows, and as a share of what all columns and the pair tell. The deep part "
        "learns most of it by itself, and crosses that were added by such figures alone have hurt: "
        "try one at a time. Cells of numbers go to columns."
    )
    cells: dict[str, Mapping[str, object]] = {}
    for cross in study.crosses:
        cells |= cross.cells
    lines = ["", *_commented(explanation, ""), "#"]
    lines += [f"#   {flow(name)}: {flow(options)}" for name, options in cells.items()]
    lines += ["#", "# crosses:"]
    for cross in study.crosses:
        lines += _cross(cross)
    return lines


def _cross(cross: CrossProposal) -> list[str]:
    entry = {"columns": list(cross.columns), "bins": cross.bins}
    evidence = f"{cross.gain:.4f} bits, {cross.share:.1%}, t {cross.t_value:.1f}"
    return [f"#   - {flow(entry)} # {evidence}"]


def _commented(text: str, indent: str) -> list[str]:
    if not text:
        return []
    mark = f"{indent}# "
    return textwrap.wrap(
        one_line(text),
        _WIDTH,
        initial_indent=mark,
        subsequent_indent=mark,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"
