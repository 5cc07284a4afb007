"""The job files of configs/: strict, accepted by the real clients and by our own parser."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from fake_vertex import FakeVertex, gcloud_environment, init_sdk
from google.protobuf import json_format
from runs import ROOT

from trainer import __version__
from trainer.cli import load_config
from trainer.jobs.job_file import read_job_file, read_names

CONFIGS = sorted((ROOT / "configs").glob("job_*.yaml")) + sorted(
    (ROOT / "configs").glob("tuning_*.yaml")
)
IDLE = ("max_train_secs", "l2_shrinkage_regularization_strength", "beta_1", "beta_2")
TUNING = [path for path in CONFIGS if path.stem.startswith("tuning_")]
NAMES = read_names(str(ROOT / "configs/names.env"))
MACHINES = {
    # Source: the service's page on compute resources. GPUs of each machine type that is used.
    "g2-standard-12": ("NVIDIA_L4", 1),
    "g2-standard-24": ("NVIDIA_L4", 2),
    "g2-standard-48": ("NVIDIA_L4", 4),
    "cloud-tpu": ("TPU_V3", 8),
}


def read(path, job="a_job"):
    return read_job_file(str(path), {**NAMES, "JOB": job})


def as_message(path, job="a_job"):
    """What the API must get, by another reader of YAML and of placeholders than ours."""
    text = Path(path).read_text()
    for name, value in {**NAMES, "JOB": job}.items():
        text = text.replace(f"${{{name}}}", value)
    return yaml.safe_load(text)


def one_liner(path):
    """The commands of plain gcloud in the head of a file."""
    head = path.read_text().split("\n\n")[0]
    lines = [line.removeprefix("#   ") for line in head.splitlines() if line.startswith("#   ")]
    start = next(i for i, line in enumerate(lines) if line.startswith("set -a"))
    return "\n".join(lines[start:])


def stored_spec(job, path):
    """The part of a stored job that the file describes."""
    if path in TUNING:
        given = ("displayName", "studySpec", "trialJobSpec")
        return {key: job[key] for key in (*given, *(k for k in job if k.endswith("TrialCount")))}
    return job["jobSpec"]


def normal(values, kind):
    """A JSON value as the API's own message prints it."""
    return json_format.MessageToDict(json_format.ParseDict(values, kind()))


def test_every_kind_of_job_is_there():
    assert {path.stem for path in CONFIGS} == {
        *("job_cpu_prebuilt", "job_cpu", "job_gpu", "job_gpus", "job_workers"),
        *("job_workers_reduction_server", "job_parameter_server", "job_tpu_v3", "job_tpu_v5e"),
        *("job_spot", "job_flex_start", "tuning_default", "tuning_small", "tuning_conditional"),
        "tuning_google_wide_and_deep",
    }


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_file_is_strict_for_the_api_and_complete(path):
    job = read(path)
    values = as_message(path)

    spec = job.to_message()
    assert json_format.MessageToDict(spec) == normal(values, type(spec))
    spec = values.get("trialJobSpec", values)
    assert spec["baseOutputDirectory"] == {"outputUriPrefix": "gs://my-bucket/runs/a_job"}
    assert re.fullmatch(r"[1-9]\d*s", spec["scheduling"]["timeout"])
    assert ("tensorboard" in spec) <= ("serviceAccount" in spec)
    pools = spec["workerPoolSpecs"]
    assert pools[0]["replicaCount"] == 1
    for pool in pools:
        machine = pool["machineSpec"]
        gpus = machine.get("acceleratorType"), machine.get("acceleratorCount")
        assert gpus == MACHINES.get(machine["machineType"], (None, None))
    in_step = "--strategy=multi_worker_mirrored" in job.trainer_args
    assert spec["scheduling"].get("restartJobOnWorkerRestart", False) == in_step
    assert in_step == path.stem.startswith("job_workers")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_head_says_how_at_what_cost_and_when(path):
    head = path.read_text().split("\n\n")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    script = "submit_tuning.py" if path in TUNING else "submit_job.py"
    assert f"python scripts/{script} configs/{path.name}" in head
    assert "\n# Cost: " in head and "\n# When: " in head
    assert max(map(len, path.read_text().splitlines())) <= 100


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_image_of_each_pool_is_ours_or_googles(path):
    tags = {"gpu": "gpu", "gpus": "gpu", "spot": "gpu", "flex_start": "gpu", "tpu_v3": "tpu"}
    tags |= {"tpu_v5e": "tpu", "workers_reduction_server": "gpu"}
    tag = tags.get(path.stem.removeprefix("job_"), "cpu")
    for pool in read(path).pools:
        if pool.is_reduction_server:
            assert pool.args == () and pool.accelerator_count == 0
        elif path.stem == "job_cpu_prebuilt":
            # Literal: the version that is uploaded is that of the checkout.
            name = f"wide_and_deep_trainer-{__version__}.tar.gz"
            assert pool.package_uris == (f"gs://my-bucket/packages/{name}",)
            assert pool.module == "trainer.task" and "tf-cpu.2-17.py310" in pool.image
        else:
            assert (
                pool.image == f"us-central1-docker.pkg.dev/my-project/trainer/wide-and-deep:{tag}"
            )
        assert pool.runs_trainer != pool.is_reduction_server


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_arguments_are_flags_that_the_trainer_takes(path):
    for pool in read(path).pools:
        if pool.runs_trainer:
            config = load_config(
                pool.args, {"AIP_MODEL_DIR": "gs://my-bucket/runs/j/model/"}
            ).config
            assert config.data.train == ("sample:train",)
            assert config.output.model_dir == "gs://my-bucket/runs/j/model/"
            assert set(pool.args) == set(read(path).trainer_args)


def trials(parameters):
    """Flags of trials that take every parameter through all its values, or both its ends."""
    first = {p["parameterId"]: values_of(p)[0] for p in parameters}
    for parameter in parameters:
        name = parameter["parameterId"]
        for value in values_of(parameter):
            children = [
                condition["parameterSpec"]
                for condition in parameter.get("conditionalParameterSpecs", [])
                if value in condition["parentCategoricalValues"]["values"]
            ]
            yield {**first, name: value}
            for flags in trials(children):
                yield {**first, name: value, **flags}


def values_of(parameter):
    if "doubleValueSpec" in parameter:
        return [parameter["doubleValueSpec"][end] for end in ("minValue", "maxValue")]
    # The service gives whole numbers as doubles.
    values = parameter.get("discreteValueSpec", {}).get("values")
    return list(map(float, values)) if values else parameter["categoricalValueSpec"]["values"]


@pytest.mark.parametrize("path", TUNING, ids=lambda path: path.stem)
def test_every_value_of_a_study_is_one_that_the_trainer_takes(path):
    job = read(path)
    environ = {"AIP_MODEL_DIR": "gs://b/1/model/", "CLOUD_ML_TRIAL_ID": "1"}
    # Parameters of the removed workflow that its other ones leave without effect.
    idle = {f"--{part}{name}" for part in ("", "dnn_") for name in IDLE}
    tried = 0
    for flags in trials(job.study["parameters"]):
        arguments = [f"--{name}={value}" for name, value in flags.items()]
        invocation = load_config([*job.trainer_args, *arguments], environ)
        given = {source for source in invocation.sources.values() if source.startswith("--")}
        assert given >= {f"--{name}" for name in flags} - idle
        tried += 1
    assert tried > 5


@pytest.mark.parametrize("path", TUNING, ids=lambda path: path.stem)
def test_study_follows_the_rules_of_the_service(path):
    values = as_message(path)
    study = values["studySpec"]
    # The sample is a regression monitored by rmse, and `trainer.tuning` puts val_ before it.
    assert study["metrics"] == [{"metricId": "val_rmse", "goal": "MINIMIZE"}]
    assert study["measurementSelectionType"] == "BEST_MEASUREMENT"
    assert 0 < values["maxFailedTrialCount"] <= values["maxTrialCount"]
    assert values["parallelTrialCount"] <= values["maxTrialCount"]
    parameters = list(study["parameters"])
    for parameter in parameters:
        parameters += [
            condition["parameterSpec"]
            for condition in parameter.get("conditionalParameterSpecs", [])
        ]
        assert ("scaleType" in parameter) >= ("doubleValueSpec" in parameter)
        assert not ("scaleType" in parameter and "categoricalValueSpec" in parameter)
        if "LOG" in parameter.get("scaleType", ""):
            assert parameter["doubleValueSpec"]["minValue"] > 0
        if "discreteValueSpec" in parameter:
            listed = parameter["discreteValueSpec"]["values"]
            assert listed == sorted(set(listed))
    names = [parameter["parameterId"] for parameter in parameters]
    assert len(names) == len(set(names))


def test_google_study_is_that_of_the_workflow():
    """Source: the study that its pipelines shipped; every name, value and scale."""
    adam = {"beta_1": [0.7, 0.8, 0.9], "beta_2": [0.8, 0.9, 0.999]}
    part = {
        "learning_rate": [0.0001, 0.0005],
        "optimizer_type": ["adam", "ftrl", "sgd"],
        **{f"{p}_regularization_strength": [0, 0.01, 0.02] for p in ("l1", "l2", "l2_shrinkage")},
        **adam,
    }
    original = {
        "max_steps": [5000, 10000, 20000, 30000, 40000, 50000],
        "max_train_secs": [-1],
        **part,
        **{f"dnn_{name}": values for name, values in part.items()},
        "hidden_units": ["30,30,30"],
        "use_wide": ["true", "false"],
        "embed_categories": ["true", "false"],
        "dnn_dropout": [0, 0.1, 0.2],
        "batch_size": [1024, 2048, 4096, 8192, 16384],
    }
    assert len(original) == 21
    study = read(ROOT / "configs/tuning_google_wide_and_deep.yaml").study
    ours = {spec["parameterId"]: values_of(spec) for spec in study["parameters"]}
    assert ours == original


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_plain_gcloud_submits_it_as_its_head_says(path, tmp_path):
    for command in ("gcloud", "envsubst"):
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    with FakeVertex() as fake:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", one_liner(path)],
            cwd=tmp_path,
            env=gcloud_environment(fake.url, tmp_path),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        ((name, job),) = fake.jobs.items()
    assert name.startswith("projects/my-project/locations/us-central1/")
    assert re.fullmatch(rf"{path.stem}_20\d{{6}}_\d{{6}}", job["displayName"])
    expected = json_format.MessageToDict(read(path, job["displayName"]).to_message())
    assert stored_spec(job, path) == expected


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_sdk_submits_it_over_rest(path):
    from google.cloud.aiplatform_v1 import types

    parent = "projects/my-project/locations/us-central1"
    message = read(path).to_message()
    with FakeVertex() as fake:
        aiplatform = init_sdk(fake.url)
        client = aiplatform.initializer.global_config.create_client(
            client_class=aiplatform.utils.JobClientWithOverride
        )
        if path in TUNING:
            job = types.HyperparameterTuningJob.wrap(message)
            created = client.create_hyperparameter_tuning_job(
                parent=parent, hyperparameter_tuning_job=job
            )
        else:
            job = types.CustomJob(display_name="a_job", job_spec=types.CustomJobSpec.wrap(message))
            created = client.create_custom_job(parent=parent, custom_job=job)
        stored = fake.jobs[created.name]
    assert stored["displayName"] == "a_job"
    assert stored_spec(stored, path) == json_format.MessageToDict(message)
