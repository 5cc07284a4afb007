"""The curves of training: what each evaluation found, by column."""

from __future__ import annotations

from trainer.insight.evidence import Evidence, Sections

MOST_POINTS = 400


def produce(evidence: Evidence) -> Sections:
    """`curves`: the history by column, equally long lists, None where a record lacks it; kept_step.

    Of more than `MOST_POINTS` evaluations every second, third and so on stays, and the one whose
    weights were kept, and the last.
    """
    state = evidence.state
    history = state.history
    if not history:
        return {}
    stride = -(-len(history) // MOST_POINTS)
    shown = [
        record
        for i, record in enumerate(history)
        if i % stride == 0 or record["step"] == state.kept_step or i == len(history) - 1
    ]
    # Those with a slash are of one layer each, see the section `health`.
    names = dict.fromkeys(name for record in shown for name in record if "/" not in name)
    columns = {name: [record.get(name) for record in shown] for name in names}
    return {"curves": {**columns, "kept_step": state.kept_step}}
