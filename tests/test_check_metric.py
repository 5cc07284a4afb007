import pytest
from check_jobs import TUNING, find

BINARY = """\
data: {train: a.csv, validation: b.csv}
label: {column: y, task: binary}
columns: {x: numeric}
"""


def metric(text, goal):
    return "{metricId: val_rmse, goal: MINIMIZE}", f"{{metricId: {text}, goal: {goal}}}"


@pytest.mark.parametrize(
    ("name", "goal", "args"),
    [
        ("val_mae", "MINIMIZE", '["--metric_tag=val_mae"]'),
        ("mae", "MINIMIZE", '["--metric_tag=mae"]'),
        ("val_mae", "MINIMIZE", '["--monitor=mae"]'),
        ("val_r2", "MAXIMIZE", '["--metric_tag", "val_r2"]'),
    ],
)
def test_metrics_that_the_trials_report(tmp_path, name, goal, args):
    assert find(tmp_path, TUNING, metric(name, goal), ("[]", args)) == []


@pytest.mark.parametrize(
    ("name", "goal", "message"),
    [
        ("val_rsme", "MINIMIZE", "reports 'val_rsme'; did you mean 'val_rmse'?; it has val_rmse"),
        ("val_mae", "MINIMIZE", "is val_mae, but the trials report val_rmse"),
        ("val_rmse", "GOAL_TYPE_UNSPECIFIED", "is not set, which means MAXIMIZE"),
        ("timestamp", "MINIMIZE", "timestamp is another field of hypertune's file"),
        ('""', "MINIMIZE", "must not be empty"),
    ],
)
def test_metrics_that_are_wrong(tmp_path, name, goal, message):
    found = find(tmp_path, TUNING, metric(name, goal))

    assert len(found) == 1 and message in found[0]


def test_no_metric(tmp_path):
    found = find(tmp_path, TUNING, ("[{metricId: val_rmse, goal: MINIMIZE}]", "[]"))

    assert len(found) == 1 and found[0].startswith("error studySpec.metrics: is missing")


def test_second_metric(tmp_path):
    found = find(
        tmp_path,
        TUNING,
        ("goal: MINIMIZE}]", "goal: MINIMIZE}, {metricId: val_mae, goal: MINIMIZE}]"),
    )

    assert len(found) == 1 and "the trainer reports one metric" in found[0]


@pytest.mark.parametrize(
    ("config", "messages"),
    [
        (BINARY, []),
        (BINARY.replace(", validation: b.csv", ""), ["is never reported: the config has no val"]),
        (BINARY.replace("binary", "regression"), ["no evaluation of label.task regression"]),
    ],
)
def test_config_of_ones_own_decides_the_metrics(tmp_path, config, messages):
    path = tmp_path / "config.yaml"
    path.write_text(config)

    found = find(
        tmp_path,
        TUNING,
        metric("val_log_loss", "MINIMIZE"),
        ("[]", f'["--config={path}"]'),
        uploads=[str(path)],
    )

    of_metric = [line for line in found if "metricId" in line]
    assert len(of_metric) == len(messages)
    assert all(m in line for m, line in zip(messages, of_metric, strict=True))


def test_unreadable_config_leaves_the_name_to_all_tasks(tmp_path):
    args = ("[]", '["--config=gs://b/c.yaml", "--metric_tag=val_auc"]')

    assert find(tmp_path, TUNING, metric("val_auc", "MAXIMIZE"), args) == []
    found = find(tmp_path, TUNING, metric("val_rmse", "MINIMIZE"), args)
    assert len(found) == 1 and "is val_rmse, but the trials report val_auc" in found[0]
