"""Job files for the tests of the checks, with parts replaced."""

import textwrap

from trainer.jobs.check import check_job
from trainer.jobs.job_file import read_job_file

NAMES = {
    "PROJECT": "my-project",
    "REGION": "us-central1",
    "BUCKET": "my-bucket",
    "IMAGE": "us-central1-docker.pkg.dev/my-project/trainer/wide-and-deep",
    "JOB": "a_job",
}
CPU = """\
workerPoolSpecs:
- machineSpec: {machineType: n2-standard-8}
  replicaCount: 1
  containerSpec:
    imageUri: ${IMAGE}:cpu
    args: []
baseOutputDirectory: {outputUriPrefix: "gs://${BUCKET}/runs/${JOB}"}
scheduling: {timeout: 3600s}
"""
WORKERS = """\
workerPoolSpecs:
- machineSpec: {machineType: n2-standard-8}
  replicaCount: 1
  containerSpec: &trainer
    imageUri: ${IMAGE}:cpu
    args: ["--batch_size=300"]
- machineSpec: {machineType: n2-standard-8}
  replicaCount: 2
  containerSpec: *trainer
baseOutputDirectory: {outputUriPrefix: "gs://${BUCKET}/runs/${JOB}"}
scheduling: {timeout: 3600s, restartJobOnWorkerRestart: true}
"""
TUNING = """\
displayName: ${JOB}
maxTrialCount: 30
parallelTrialCount: 3
maxFailedTrialCount: 3
studySpec:
  measurementSelectionType: BEST_MEASUREMENT
  metrics: [{metricId: val_rmse, goal: MINIMIZE}]
  parameters:
  - parameterId: batch_size
    discreteValueSpec: {values: [128, 256, 512]}
trialJobSpec:
""" + textwrap.indent(CPU, "  ")


def read(folder, text, *replacements, names=NAMES):
    """The job file of a text, after each (old, new) of `replacements`."""
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = folder / "job.yaml"
    path.write_text(text)
    return read_job_file(str(path), names)


def find(folder, text, *replacements, names=NAMES, **options):
    """`severity key: message` of everything that is found, by line."""
    job = read(folder, text, *replacements, names=names)
    findings = check_job(job, names, **{"read_data": False, **options})
    return [f"{f.severity} {f.where.partition(' ')[2]}: {f.message}" for f in findings]
