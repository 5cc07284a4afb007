import json
import logging
import math
import os

import hypertune
import pytest

from trainer.cluster import Cluster
from trainer.errors import UserError
from trainer.tuning import MetricReporter
from trainer.vertex import VertexEnvironment


@pytest.fixture
def environment(tmp_path):
    return VertexEnvironment(trial_id="7", metric_file=str(tmp_path / "deep/er/output.metrics"))


def read_reports(environment: VertexEnvironment) -> list[dict]:
    """Lines of the metric file without their time."""
    with open(environment.metric_file, encoding="utf-8") as lines:
        reports = [json.loads(line) for line in lines]
    for report in reports:
        assert report.pop("timestamp") > 1.7e9
    return reports


def test_report_has_the_form_that_the_service_reads(environment):
    reporter = MetricReporter("auto", "rmse", environment)
    reporter.report(200, {"rmse": 4.5, "mae": 2.0})
    assert read_reports(environment) == [
        {"trial": "7", "global_step": "200", "val_rmse": "4.5", "checkpoint_path": ""}
    ]


def test_reports_add_up(environment):
    reporter = MetricReporter("auto", "rmse", environment)
    for step, rmse in ((10, 3.0), (20, 2.0)):
        reporter.report(step, {"rmse": rmse})
    reporter.report_final(20, {"rmse": 1.5})
    reports = [(r["global_step"], r["val_rmse"]) for r in read_reports(environment)]
    assert reports == [("10", "3.0"), ("20", "2.0"), ("20", "1.5")]


@pytest.mark.parametrize(
    ("tag", "monitor", "expected_tag", "value"),
    [
        ("auto", "auc", "val_auc", "0.75"),
        ("auc", "log_loss", "auc", "0.75"),
        ("val_auc", "log_loss", "val_auc", "0.75"),
        ("val_log_loss", "auc", "val_log_loss", "0.5"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "val_"])
def test_tag_means_the_validation_metric(environment, tag, monitor, expected_tag, value, prefix):
    metrics = {f"{prefix}auc": 0.75, f"{prefix}log_loss": 0.5}
    MetricReporter(tag, monitor, environment).report(1, metrics)
    assert [report[expected_tag] for report in read_reports(environment)] == [value]


def test_training_metric_is_never_taken_for_a_validation_metric(environment):
    reporter = MetricReporter("loss", "rmse", environment)
    with pytest.raises(UserError, match=r"'loss'; the evaluation has rmse$"):
        reporter.report(1, {"step": 1, "loss": 0.1, "val_rmse": 3.0})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_value_that_is_not_finite_is_left_out_with_a_warning(environment, caplog, value):
    reporter = MetricReporter("auto", "rmse", environment)
    reporter.report(10, {"rmse": 3.0})
    with caplog.at_level(logging.WARNING):
        reporter.report(20, {"rmse": value})
    assert [report["global_step"] for report in read_reports(environment)] == ["10"]
    assert f"val_rmse is {value} at step 20; not reported" in caplog.text


def test_history_is_reported_again_before_new_values(environment):
    first = MetricReporter("auto", "rmse", environment)
    first.report(10, {"rmse": 3.0})
    resumed = MetricReporter("auto", "rmse", environment)
    resumed.replay([{"step": 10, "loss": 9.0, "val_rmse": 3.0}])
    resumed.report(20, {"rmse": 2.0})
    assert [(r["global_step"], r["val_rmse"]) for r in read_reports(environment)] == [
        ("10", "3.0"),
        ("20", "2.0"),
    ]


def test_metric_that_the_evaluation_lacks_stops_the_trial_at_once(environment):
    reporter = MetricReporter("val_rsme", "rmse", environment)
    with pytest.raises(
        UserError, match=r"'val_rsme' needs .*'rsme'; .* has mae, rmse; did you mean"
    ):
        reporter.report(1, {"rmse": 1.0, "mae": 1.0})


def test_evaluation_without_validation_rows_is_said(environment):
    reporter = MetricReporter("auto", "rmse", environment)
    with pytest.raises(UserError, match="there are no validation rows"):
        reporter.report_final(1, {})


def test_metric_that_goes_missing_later_is_a_warning(environment, caplog):
    reporter = MetricReporter("auto", "auc", environment)
    reporter.report(10, {"auc": 0.5})
    with caplog.at_level(logging.WARNING):
        reporter.report(20, {"log_loss": 0.5})
    assert len(read_reports(environment)) == 1
    assert "no val_auc at step 20" in caplog.text


@pytest.mark.parametrize("tag", ["trial", "timestamp", "global_step", "checkpoint_path"])
def test_tag_of_another_field_is_refused(tag):
    with pytest.raises(UserError, match=f"must not be one of trial, .*received '{tag}'"):
        MetricReporter(tag, "rmse", VertexEnvironment())


@pytest.mark.parametrize("tag", ["", "val_", "val rmse", " rmse", "rmse\n"])
def test_tag_that_is_empty_or_has_whitespace_is_refused(tag):
    with pytest.raises(UserError, match=r"tuning\.metric_tag must be the metricId"):
        MetricReporter(tag, "rmse", VertexEnvironment())


@pytest.mark.parametrize(
    "cluster",
    [
        Cluster("worker", 0, 2, {}, is_chief=False),
        Cluster("evaluator", 0, 2, {}, is_chief=False),
    ],
)
def test_only_the_chief_reports(environment, cluster):
    replica = VertexEnvironment(trial_id="7", metric_file=environment.metric_file, cluster=cluster)
    reporter = MetricReporter("auto", "rmse", replica)
    reporter.report(1, {"rmse": 1.0})
    assert not reporter.is_active
    assert not os.path.exists(os.path.dirname(replica.metric_file))


def test_outside_a_tuning_job_nothing_is_written_or_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CLOUD_ML_HP_METRIC_FILE", str(tmp_path / "x/output.metrics"))
    reporter = MetricReporter("auto", "rmse", VertexEnvironment())
    reporter.replay([{"step": 1}])
    reporter.report(1, {"mae": 1.0})
    assert not reporter.is_active
    assert list(tmp_path.iterdir()) == []


def test_process_environment_has_no_say(environment, tmp_path, monkeypatch):
    monkeypatch.setenv("CLOUD_ML_HP_METRIC_FILE", "file_without_a_folder")
    monkeypatch.setenv("CLOUD_ML_TRIAL_ID", "99")
    MetricReporter("auto", "rmse", environment).report(1, {"rmse": 1.0})
    assert [report["trial"] for report in read_reports(environment)] == ["7"]
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]


def test_file_without_a_folder_lies_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environment = VertexEnvironment(metric_file="output.metrics")
    MetricReporter("auto", "rmse", environment).report(1, {"rmse": 1.0})
    assert [report["trial"] for report in read_reports(environment)] == ["0"]


def test_attributes_are_those_that_the_constructor_of_hypertune_sets(environment, monkeypatch):
    monkeypatch.setenv("CLOUD_ML_HP_METRIC_FILE", environment.metric_file)
    monkeypatch.setenv("CLOUD_ML_TRIAL_ID", environment.trial_id)
    ours = vars(MetricReporter("auto", "rmse", environment)._hypertune)
    theirs = vars(hypertune.HyperTune())
    assert ours == theirs
    assert ours["metrics_queue"].maxlen == theirs["metrics_queue"].maxlen


def test_file_is_the_default_of_the_library_where_none_is_named(monkeypatch):
    monkeypatch.delenv("CLOUD_ML_HP_METRIC_FILE", raising=False)
    monkeypatch.setattr("os.makedirs", lambda *_, **__: None)
    ours = MetricReporter("auto", "rmse", VertexEnvironment(trial_id="1"))._hypertune
    assert ours.metric_path == hypertune.HyperTune().metric_path
