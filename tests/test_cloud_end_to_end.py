"""From the checkout to a model in the bucket, without network, as a user does it in the cloud.

scripts/submit_job.py builds the package, uploads it with the config to (an emulator of) Cloud
Storage and submits the job file through Google's client to (a fake of) the service. The service
installs the package from the bucket and runs the job as Vertex AI would. Nothing but the service
and the bucket stands between the two.
"""

import json
import os

import numpy as np
import pytest
import tensorflow as tf
import yaml

pytest.importorskip("google.cloud.aiplatform_v1")

from fake_vertex import FakeVertex
from runs import ROOT

from trainer import storage
from trainer.jobs import cluster_run, submit
from trainer.jobs.job_file import JobFile
from trainer.jobs.package import SDIST_NAME

CONFIG = """
data: {column_names: [sales, shop, day], validation_fraction: 0.2, train: "gs://bucket/sales/*.csv"}
label: {column: sales, task: regression}
columns:
  shop: categorical
  day: numeric
model: {hidden_units: [8]}
optimizer: {wide_learning_rate: 0.2}
training: {epochs: 4, batch_size: 32, eval_steps: 20}
evaluation: {baseline: constant}
"""


@pytest.fixture
def service(emulator, tmp_path):
    """The service; what is submitted to it runs in processes of this machine."""

    def run(job):
        spec = job["jobSpec"]
        (package_uri,) = spec["workerPoolSpecs"][0]["pythonPackageSpec"]["packageUris"]
        sdist = tmp_path / package_uri.rpartition("/")[2]
        sdist.write_bytes(storage.read_bytes(package_uri))
        outcome = cluster_run.run_job(
            JobFile("submitted", "custom", yaml.safe_dump(spec), spec),
            work_dir=str(tmp_path / "machines"),
            environ=os.environ,
            gs_endpoint=os.environ["STORAGE_EMULATOR_HOST"],
            package_path=str(sdist),
        )
        state = "SUCCEEDED" if outcome.state == "succeeded" else "FAILED"
        return f"JOB_STATE_{state}", outcome.cause

    with FakeVertex(run=run) as fake:
        yield fake


@pytest.fixture
def submit_job(service, tmp_path, monkeypatch):
    """What scripts/submit_job.py does with those arguments, from an empty folder."""
    names = {"PROJECT": "a-project", "REGION": "us-central1", "BUCKET": "bucket", "IMAGE": "image"}
    (tmp_path / "names.env").write_text("".join(f"{k}={v}\n" for k, v in names.items()))
    (tmp_path / "sales.yaml").write_text(CONFIG)
    rng = np.random.default_rng(5)
    shops, days = rng.integers(3, size=400), rng.integers(30, size=400)
    sales = shops * 10 + days + rng.normal(size=400)
    lines = [f"{s:.3f},shop {i},{d}" for s, i, d in zip(sales, shops, days, strict=True)]
    storage.write_text("gs://bucket/sales/1.csv", "\n".join(lines))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")

    def run(name, *flags):
        options = [
            str(ROOT / "configs" / "job_cpu_prebuilt.yaml"),
            f"--names={tmp_path}/names.env",
            f"--config={tmp_path}/sales.yaml",
            f"--name={name}",
            f"--api_endpoint={service.url}",
            "--poll_seconds=0.2",
        ]
        submit.main([*options, *(["--", *flags] if flags else [])], os.environ)

    return run


def test_a_submitted_job_leaves_a_model_that_predicts(submit_job, service, tmp_path, capsys):
    submit_job("sales_1")

    # The client's view: one job, which succeeded, and where its model is.
    [job] = service.jobs.values()
    assert (job["displayName"], job["state"]) == ("sales_1", "JOB_STATE_SUCCEEDED")
    assert capsys.readouterr().out.rstrip().endswith("model: gs://bucket/runs/sales_1/model/")
    # What ran was the package in the bucket, from a folder without the checkout.
    assert storage.exists(f"gs://bucket/packages/{SDIST_NAME}")
    log = (tmp_path / "machines" / "logs" / "chief-0.log").read_text()
    messages = [json.loads(line)["message"] for line in log.splitlines()]
    assert messages[-1].startswith("done in ")
    assert not os.listdir(tmp_path / "cwd")

    # AIP_MODEL_DIR holds the SavedModel itself; away from the bucket it answers what it promises.
    storage.fetch_dir("gs://bucket/runs/sales_1/model/", str(tmp_path / "model"))
    extra = tmp_path / "model" / "assets.extra"
    request = json.loads((extra / "sample_request.json").read_text())["instances"]
    promised = json.loads((extra / "sample_response.json").read_text())["predictions"]
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    answers = serve(
        shop=tf.constant([row["shop"] for row in request]),
        day=tf.constant([row["day"] for row in request], tf.float32),
    )
    (answers,) = answers.values()
    np.testing.assert_allclose(answers, promised, rtol=1e-5)
    # sales = 10 x shop + day, with noise of 1: the model is one of this table.
    seen = serve(shop=tf.constant(["shop 0", "shop 2"]), day=tf.constant([10.0, 10.0]))
    np.testing.assert_allclose(next(iter(seen.values())), [10.0, 30.0], atol=6.0)
