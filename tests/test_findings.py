from check_jobs import CPU, read

from trainer.jobs.findings import error, warning


def test_finding_is_one_line_with_severity_place_and_cause(tmp_path):
    job = read(tmp_path, CPU)

    finding = error(job, ("workerPoolSpecs", 0, "replicaCount"), "is wrong")

    assert str(finding) == f"error: {job.path}:3 workerPoolSpecs[0].replicaCount: is wrong"
    assert str(warning(job, (), "x")) == f"warning: {job.path}:1: x"
