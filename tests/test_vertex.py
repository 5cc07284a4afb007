import json

import pytest

from trainer.cluster import Cluster
from trainer.errors import UserError
from trainer.vertex import VertexEnvironment, read_environment


def test_outside_vertex_nothing_is_set_and_the_process_is_its_own_chief():
    assert read_environment({"HOME": "/root"}) == VertexEnvironment()
    environment = read_environment({})
    assert not environment.is_cloud
    assert environment.job_dir is None
    assert environment.cluster == Cluster("chief", 0, 1, {}, True, False)


def test_folders_and_ids_are_taken_as_they_are():
    environment = read_environment(
        {
            "AIP_MODEL_DIR": "gs://b/hp/3/model/",
            "AIP_CHECKPOINT_DIR": "gs://b/hp/3/checkpoints/",
            "AIP_TENSORBOARD_LOG_DIR": "gs://b/hp/3/logs/",
            "CLOUD_ML_TRIAL_ID": "3",
            "CLOUD_ML_HP_METRIC_FILE": "/var/hypertune/output.metrics",
            "CLOUD_ML_JOB_ID": "4711",
            "CLOUD_ML_PROJECT_ID": "1234567",
        }
    )
    assert environment.model_dir == "gs://b/hp/3/model/"
    assert environment.job_dir == "gs://b/hp/3"
    assert environment.checkpoint_dir == "gs://b/hp/3/checkpoints/"
    assert environment.log_dir == "gs://b/hp/3/logs/"
    assert environment.trial_id == "3"
    assert environment.metric_file == "/var/hypertune/output.metrics"
    assert (environment.job_id, environment.project_number) == ("4711", "1234567")
    assert environment.is_cloud


def test_empty_variable_counts_as_not_set():
    names = ("AIP_MODEL_DIR", "CLOUD_ML_TRIAL_ID", "CLUSTER_SPEC", "TF_CONFIG", "AIP_DATA_FORMAT")
    assert read_environment(dict.fromkeys(names, "")) == VertexEnvironment()


def test_trial_variable_wins_over_the_cluster():
    spec = json.dumps(
        {
            "cluster": {"workerpool0": ["host:2222"]},
            "task": {"type": "workerpool0", "index": 0, "trial": "9"},
        }
    )
    assert read_environment({"CLUSTER_SPEC": spec}).trial_id == "9"
    assert read_environment({"CLUSTER_SPEC": spec, "CLOUD_ML_TRIAL_ID": "7"}).trial_id == "7"


@pytest.mark.parametrize("trial", ["../../x", "a/b", ".", "1 2"])
def test_trial_that_is_no_name_of_a_folder_is_refused(trial):
    with pytest.raises(UserError, match=r"trial must be named by letters.*; received '"):
        read_environment({"CLOUD_ML_TRIAL_ID": trial})


def test_managed_csv_dataset_gives_its_patterns():
    folder = "gs://b/dataset-1-table-2026"
    environment = read_environment(
        {
            "AIP_DATA_FORMAT": "csv",
            "AIP_TRAINING_DATA_URI": f"{folder}/training-*",
            "AIP_VALIDATION_DATA_URI": f"{folder}/validation-*.csv",
            "AIP_TEST_DATA_URI": f"{folder}/test-*.csv",
        }
    )
    assert environment.data_format == "csv"
    assert environment.train == f"{folder}/training-*"
    assert environment.validation == f"{folder}/validation-*.csv"
    assert environment.test == f"{folder}/test-*.csv"


@pytest.mark.parametrize("data_format", ["bigquery", ""])
def test_bigquery_dataset_says_how_to_export(data_format):
    environ = {
        "AIP_DATA_FORMAT": data_format,
        "AIP_TRAINING_DATA_URI": "bq://my-project.dataset_1_t.training",
    }
    with pytest.raises(
        UserError, match=r"bq extract .*'my-project:dataset_1_t\.training'"
    ) as caught:
        read_environment(environ)
    assert "--train=" in str(caught.value)


@pytest.mark.parametrize("data_format", ["jsonl", "CSV"])
def test_other_formats_are_refused(data_format):
    environ = {"AIP_DATA_FORMAT": data_format, "AIP_TRAINING_DATA_URI": "gs://b/training-*.jsonl"}
    with pytest.raises(UserError, match=f"must be csv.*received '{data_format}'"):
        read_environment(environ)


def test_format_without_files_is_an_error():
    with pytest.raises(UserError, match="AIP_TRAINING_DATA_URI is not set"):
        read_environment({"AIP_DATA_FORMAT": "csv"})
