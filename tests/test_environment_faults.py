"""Real processes that cannot start as they are told: malformed clusters, and absurd sizes.

Each ends with a sentence of its own, those of the environment before TensorFlow is imported.
"""

import json
import os

import pytest

from tests.runs import ROOT, run_task

WORKER = {"type": "worker", "index": 0}
TASKS = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}


def spec(cluster=TASKS, task=WORKER):
    return json.dumps({"cluster": cluster, "task": task})


CASES = {
    "not JSON": ("{chief: a}", "is not valid JSON: "),
    "a list": ("[1]", "must be a JSON object; received '[1]'"),
    "no cluster": (json.dumps({"task": WORKER}), "lacks the key 'cluster'; it has task"),
    "no task": (json.dumps({"cluster": TASKS}), "lacks the key 'task'; it has cluster"),
    "a key twice": ('{"task": {}, "task": {}}', "has the key 'task' twice; a key stands once"),
    "unknown task type": (
        spec(task={"type": "wroker", "index": 0}),
        "names the unknown task type 'wroker'; did you mean 'worker'?",
    ),
    "index out of range": (
        spec(task={"type": "worker", "index": 2}),
        ".task is worker 2, but the cluster has 2 of that type, numbered from 0",
    ),
    "negative index": (
        spec(task={"type": "worker", "index": -1}),
        ".task is worker -1, but the cluster has 2 of that type, numbered from 0",
    ),
    "index that is no number": (
        spec(task={"type": "worker", "index": "first"}),
        ".task.index must be a whole number; received 'first'",
    ),
    "addresses that are no list": (
        spec({"worker": "a:1"}),
        ".cluster.worker must be a list of host:port; received 'a:1'",
    ),
    "address without a port": (spec({"worker": ["host"]}), ".cluster.worker: 'host' has no port;"),
    "port that is no number": (
        spec({"worker": ["host:grpc"]}),
        ".cluster.worker: 'host:grpc' has the port 'grpc', which is no number;",
    ),
    "port out of range": (
        spec({"worker": ["host:70000"]}),
        ".cluster.worker: the port of host:70000 must be within 1 and 65535",
    ),
    "one address twice": (
        spec({"worker": ["a:1", "a:1"]}),
        ".cluster gives the address a:1 to worker 0 and to worker 1; each task needs its own",
    ),
    "two chiefs": (
        spec({"chief": ["a:1", "b:1"], "worker": ["c:1"]}),
        ".cluster has 2 chiefs; expected one, and the others as workers",
    ),
    "no chief": (
        spec({"worker": ["a:1"], "ps": ["b:1"]}),
        ".cluster has worker, ps but no chief, so that nobody would run the training",
    ),
    "empty cluster": (spec({}), ".task is a worker, but TF_CONFIG.cluster is empty;"),
}
FAULTS = pytest.mark.faults("TF_CONFIG malformed", "exit 2, its own sentence, before TensorFlow")


def refused(tmp_path, **variables):
    """What a process says that must end without having imported TensorFlow or made a file."""
    # A package that is found first, and tells of its import.
    blocker = tmp_path / "blocker"
    (blocker / "tensorflow").mkdir(parents=True)
    (blocker / "tensorflow" / "__init__.py").write_text("raise SystemExit('TensorFlow imported')")
    folder = tmp_path / "empty"
    folder.mkdir()
    path = os.pathsep.join([str(blocker), str(ROOT)])
    done = run_task(cwd=folder, PYTHONPATH=path, **variables)
    assert done.returncode == 2
    assert done.stdout == ""
    assert list(folder.iterdir()) == []
    assert done.stderr.count("\n") == 1
    return done.stderr


@FAULTS
@pytest.mark.parametrize("case", CASES)
def test_malformed_tf_config_is_its_own_sentence(tmp_path, case):
    text, sentence = CASES[case]
    said = refused(tmp_path, TF_CONFIG=text)
    assert said.startswith("error: TF_CONFIG")
    assert sentence in said


@pytest.mark.faults("CLUSTER_SPEC against TF_CONFIG", "exit 2, the contradiction named")
@pytest.mark.parametrize(
    ("cluster_spec", "sentence"),
    [
        (
            spec({"workerpool0": ["a:1"]}, {"type": "workerpool0", "index": 0}),
            "CLUSTER_SPEC and TF_CONFIG name different tasks for this replica: "
            "chief 0 and worker 0. Set one of them",
        ),
        (
            spec(
                {"workerpool0": ["a:1"], "workerpool1": ["b:1"]},
                {"type": "workerpool1", "index": 0},
            ),
            "CLUSTER_SPEC and TF_CONFIG name different numbers of chief and workers: 2 and 3. "
            "Set one of them",
        ),
    ],
    ids=["another task", "fewer workers"],
)
def test_contradicting_variables(tmp_path, cluster_spec, sentence):
    said = refused(tmp_path, CLUSTER_SPEC=cluster_spec, TF_CONFIG=spec())
    assert said == f"error: {sentence}\n"


@pytest.mark.faults("sizes that no machine has", "exit 2, the setting named, not killed for memory")
@pytest.mark.parametrize(
    ("flags", "columns", "sentence"),
    [
        (
            [],
            "{kind: categorical, hash_buckets: 1000000000000000}",
            "columns.shop.hash_buckets must",
        ),
        (["--hidden_units=1000000000"], "categorical", "--hidden_units must be within 1 and 65536"),
        (
            ["--batch_size=1000000000000"],
            "categorical",
            "is larger than the training set of 40 rows",
        ),
        (
            ["--embedding_dim=4096"],
            "{kind: categorical, hash_buckets: 1073741824}",
            "The largest part is the embedding of shop: lower its hash_buckets",
        ),
        (["--hidden_units=" + "65536," * 64], "categorical", "The largest part is hidden layer 2"),
    ],
    ids=["hash buckets", "units", "batch", "embedding", "layers"],
)
def test_absurd_sizes(tmp_path, flags, columns, sentence):
    rows = [f"shop {row % 3},{row}" for row in range(40)]
    (tmp_path / "rides.csv").write_text("\n".join(["shop,y", *rows]))
    (tmp_path / "run.yaml").write_text(
        f"columns: {{shop: {columns}}}\nlabel: {{column: y, task: regression}}\n"
        "data: {train: rides.csv}\ntraining: {steps: 2}\n"
    )
    done = run_task("--config=run.yaml", *flags, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
