"""data.negative_keep through whole runs: calibrated as without, and about as good."""

import numpy as np
import pandas as pd
import pytest

from trainer import model
from trainer.config import parse_config
from trainer.row_cache import entry_key


def make_frame(num_rows=12_000):
    """One row in twenty is positive, the more likely the larger x is."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=num_rows)
    rate = 1 / (1 + np.exp(3.6 - 1.2 * x))
    return pd.DataFrame({"x": x, "y": (rng.uniform(size=num_rows) < rate).astype(int)})


def make_config(job_dir, **data):
    return parse_config(
        {
            "columns": {"x": "numeric"},
            "label": {"column": "y", "task": "binary"},
            "data": {"validation_fraction": 0.25} | data,
            "model": {"hidden_units": [8]},
            "training": {"epochs": 8, "batch_size": 64},
            "evaluation": {"baseline": "constant", "report": "none"},
            "output": {"job_dir": str(job_dir)},
        },
        "test",
    )


def test_probabilities_stay_calibrated_on_a_tenth_of_the_negatives(tmp_path, no_export):
    frame = make_frame()

    reports = [
        model.train_and_evaluate(
            make_config(tmp_path / f"{share}", negative_keep=share), tables={"train": frame}
        )
        for share in (1.0, 0.1)
    ]

    probabilities = []
    for run in no_export:
        _, columns = run.datasets.parts["validation"].sample(10_000)
        encoded = run.datasets.encoder.encode_block(columns)
        logits = run.program.model(encoded.ids, encoded.numbers).numpy()[:, 0]
        probabilities.append(1 / (1 + np.exp(-logits.astype(float))))
    whole, sampled = reports
    num_positives = frame["y"].sum() * 0.75
    num_kept = (len(frame) - frame["y"].sum()) * 0.75 * 0.1
    assert sampled["rows"]["train"] < 0.2 * whole["rows"]["train"]
    assert sampled["rows"]["validation"] == whole["rows"]["validation"]
    # The log odds of the share of positives have this standard error; three of them.
    tolerance = 3 * np.sqrt(1 / num_positives + 1 / num_kept)
    assert abs(np.log(probabilities[1].mean() / frame["y"].mean())) < tolerance < 0.25
    auc = [report["metrics"]["validation"]["auc"] for report in reports]
    assert abs(auc[0] - auc[1]) < 0.02
    # The constant of reference is the rate of all rows, not of those that are kept.
    losses = [report["baselines"]["constant"]["validation"]["log_loss"] for report in reports]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)


def test_rows_of_another_share_are_another_entry_of_the_cache(tmp_path):
    keys = {
        entry_key(make_config(tmp_path, **data), {}, "2.21")
        for data in ({}, {"negative_keep": 0.5}, {"negative_keep": 0.25})
    }

    assert len(keys) == 3
