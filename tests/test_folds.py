"""trainer.folds: k trainings on k shares of the rows, and their metrics together."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from trainer import folds, model, task
from trainer.cluster import Cluster
from trainer.config import parse_config
from trainer.errors import UserError
from trainer.vertex import VertexEnvironment

pytestmark = pytest.mark.usefixtures("no_export")


def make_frame(num_rows=240):
    rng = np.random.default_rng(0)
    size = rng.normal(size=num_rows)
    answer = (size + 0.5 * rng.normal(size=num_rows) > 0).astype(int)
    group = [f"g{i % 40}" for i in range(num_rows)]
    return pd.DataFrame({"size": size, "group": group, "answer": answer})


def make_config(job_dir, **data):
    return parse_config(
        {
            "columns": {"size": "numeric", "group": "ignore"},
            "label": {"column": "answer", "task": "binary"},
            "data": {"folds": 4} | data,
            "model": {"hidden_units": [4]},
            "training": {"epochs": 2, "batch_size": 32},
            "evaluation": {"baseline": "constant", "report": "none"},
            "output": {"job_dir": str(job_dir)},
        },
        "test",
    )


def test_report_has_mean_and_errors_of_all_folds_and_no_row_is_left_out(tmp_path):
    report = folds.cross_validate(make_config(tmp_path), tables={"train": make_frame()})

    runs = [json.loads((tmp_path / f"fold_{i}" / "report.json").read_text()) for i in range(1, 5)]
    assert report["runs"] == [str(tmp_path / f"fold_{i}") for i in range(1, 5)]
    assert sum(rows["validation"] for rows in report["rows"]) == 240
    assert all(rows["train"] + rows["validation"] == 240 for rows in report["rows"])
    for part in (report["metrics"], report["baselines"]["constant"]):
        values = [
            (run["metrics"] if part is report["metrics"] else run["baselines"]["constant"])[
                "validation"
            ]["log_loss"]
            for run in runs
        ]
        found = part["validation"]["log_loss"]
        assert found["values"] == values
        assert found["mean"] == pytest.approx(np.mean(values))
        assert found["sd"] == pytest.approx(np.std(values, ddof=1))
        assert found["standard_error"] == pytest.approx(np.std(values, ddof=1) / math.sqrt(4))
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(report))
    assert (tmp_path / "COMPLETE").exists()


def test_what_a_fold_has_chosen_on_its_rows_does_not_count_on_them(tmp_path):
    config = make_config(tmp_path)
    chosen = config.evaluation.model_copy(update={"calibration": "platt"})
    config = config.model_copy(update={"evaluation": chosen})
    report = folds.cross_validate(config, tables={"train": make_frame()})

    runs = [json.loads((tmp_path / f"fold_{i}" / "report.json").read_text()) for i in range(1, 5)]
    found = report["metrics"]["validation"]["log_loss"]["values"]
    assert found == [run["validation_before_decision"]["log_loss"] for run in runs]
    assert found != [run["metrics"]["validation"]["log_loss"] for run in runs]


def test_second_start_goes_on_at_the_fold_that_is_not_complete(tmp_path, no_export):
    config, tables = make_config(tmp_path), {"train": make_frame()}
    first = folds.cross_validate(config, tables=tables)
    (tmp_path / "COMPLETE").unlink()
    (tmp_path / "report.json").unlink()
    (tmp_path / "fold_3" / "COMPLETE").unlink()
    no_export.clear()

    again = folds.cross_validate(config, tables=tables)

    assert [run.model_dir for run in no_export] == [str(tmp_path / "fold_3" / "model")]
    assert again["metrics"] == first["metrics"]


def test_folds_of_a_column_keep_its_values_together_and_leave_the_test_rows(tmp_path):
    config = make_config(tmp_path, split_column="group", test_fraction=0.2)

    report = folds.cross_validate(config, tables={"train": make_frame()})

    # Forty groups of six rows each.
    assert all(count % 6 == 0 for rows in report["rows"] for count in rows.values())
    assert len({rows["test"] for rows in report["rows"]}) == 1
    held_out = sum(rows["validation"] for rows in report["rows"])
    assert held_out + report["rows"][0]["test"] == 240
    assert "test" in report["metrics"]


def test_task_runs_all_folds_or_the_one_that_is_named(tmp_path, no_export, capsys):
    make_frame().to_csv(tmp_path / "all.csv", index=False)
    (tmp_path / "c.yaml").write_text(
        "columns: {size: numeric}\nlabel: {column: answer, task: binary}\n"
        f"data: {{train: {tmp_path}/all.csv}}\ntraining: {{epochs: 1}}\n"
        "evaluation: {baseline: none, report: none}\n"
    )
    arguments = [f"--config={tmp_path}/c.yaml", "--folds=3"]

    assert task.main([*arguments, f"--job_dir={tmp_path}/a"], {}) == 0
    assert task.main([*arguments, "--fold=2", f"--job_dir={tmp_path}/b"], {}) == 0
    assert task.main([*arguments, "--fold=4", f"--job_dir={tmp_path}/c"], {}) == 2

    starts = [*(f"{tmp_path}/a/fold_{i}" for i in (1, 2, 3)), f"{tmp_path}/b"]
    assert [run.model_dir for run in no_export] == [f"{start}/model" for start in starts]
    reports = [
        json.loads((tmp_path / name / "report.json").read_text()) for name in ("a/fold_2", "b")
    ]
    assert reports[0]["metrics"] == reports[1]["metrics"]


def test_study_gets_the_mean(tmp_path):
    environment = VertexEnvironment(trial_id="1", metric_file=str(tmp_path / "metrics"))

    report = folds.cross_validate(
        make_config(tmp_path / "run"), environment, tables={"train": make_frame()}
    )

    (line,) = (tmp_path / "metrics").read_text().splitlines()
    assert json.loads(line)["val_log_loss"] == str(
        report["metrics"]["validation"]["log_loss"]["mean"]
    ) or float(json.loads(line)["val_log_loss"]) == pytest.approx(
        report["metrics"]["validation"]["log_loss"]["mean"]
    )


@pytest.mark.parametrize(
    "data, reason",
    [
        ({"validation": "v.csv"}, "holds out its own validation rows"),
        ({"validation_fraction": 0.1}, "holds out its own validation rows"),
        ({"folds": 1}, "data.folds must be within 2 and data.split_modulus 100"),
        ({"folds": 101}, "data.folds must be within 2 and data.split_modulus 100"),
        ({"folds": 0, "fold": 1}, "data.fold 1 is none of the 0"),
        ({"fold": 5}, "data.fold 5 is none of the 4"),
    ],
)
def test_folds_that_cannot_be_are_refused(tmp_path, data, reason):
    with pytest.raises(UserError, match=reason):
        make_config(tmp_path, **data)


def test_folds_need_one_process_and_a_folder(tmp_path):
    cluster = Cluster(addresses={"chief": ("a:1",), "worker": ("b:1",)}, num_workers=2)
    config = make_config(tmp_path)
    homeless = config.model_copy(update={"output": type(config.output)()})

    with pytest.raises(UserError, match=r"data.folds trains in one process"):
        folds.cross_validate(config, VertexEnvironment(cluster=cluster))
    with pytest.raises(UserError, match=r"output.job_dir is not set"):
        folds.cross_validate(homeless)
    with pytest.raises(UserError, match=r"data.fold names one"):
        model.train_and_evaluate(config, tables={"train": make_frame()})
