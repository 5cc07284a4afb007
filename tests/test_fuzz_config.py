"""Random and damaged configs, command lines, environments and state files: one clear line each.

    python -m pytest tests/test_fuzz_*.py --fuzz_examples=10000

gives each test that many inputs (some cost more and take a share); by default a few, the same each
time.
"""

import contextlib
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzzing import ODD_NUMBERS, ODD_TEXTS, damaged, fuzz, only_clear_errors, with_odd_values
from trainer import task
from trainer.cli import config_yaml
from trainer.config import parse_config
from trainer.errors import MAX_CHARACTERS
from trainer.flags import FLAGS
from trainer.run_folder import RunFolder
from trainer.statistics import StatisticsBuilder, TableStatistics
from trainer.vertex import read_environment
from trainer.yaml_text import load_yaml

ROOT = Path(__file__).parents[1]
CONFIGS = [
    (ROOT / name).read_bytes()
    for name in ("configs/taxifare.yaml", "configs/flights.yaml", "trainer/taxifare_sample.yaml")
]
# Every kind of column and every section.
FULL = {
    "columns": {
        "age": {"kind": "numeric", "clip": [0, 99.5], "missing": "constant", "buckets": 8},
        "age_cell": {"kind": "bucketized", "source": "age", "edges": [10, 20, 30]},
        "city": {"kind": "categorical", "vocabulary": ["Rome", "Oslo"], "oov_buckets": 2},
        "shop": {"kind": "categorical", "hash_buckets": 100, "towers": ["deep"]},
        "floor": {"kind": "identity", "size": 5},
        "open": "boolean",
        "when": {"kind": "datetime", "format": "%Y-%m-%d", "parts": ["year"], "cyclic": ["month"]},
        "trip": {
            "kind": "geo",
            "from_point": ["lat", "lon"],
            "to_point": ["lat2", "lon2"],
            "landmarks": {"JFK": [40.6413, -73.7781]},
            "numeric": {"scale": "log1p"},
        },
        "w": "weight",
        "id": "key",
        "unused": "ignore",
    },
    "crosses": [{"columns": ["city", "when.year"], "bins": 500}],
    "label": {"column": "y", "task": "binary", "positive": "yes"},
    "data": {"train": ["a.csv"], "validation_fraction": 0.1, "null_values": ["", "NA"]},
    "model": {"hidden_units": [64, 32], "dropout": 0.1},
    "optimizer": {"schedule": "cosine", "wide_learning_rate": 0.1},
    "training": {"batch_size": "auto", "steps": 100, "seed": 3},
    "evaluation": {"threshold": 0.4},
    "export": {"parity_rows": 9},
    "tuning": {"metric_tag": "rmse"},
    "output": {"job_dir": "runs/x", "log_dir": "logs"},
}
PIECES = (b"&a ", b"*a", b"<<: *a", b"!!int ", b"!!timestamp x", b"!!binary ", b"? ", b": ", b"- ")
PIECES += (
    b"\t",
    b"\n",
    b"---\n",
    b"|\n",
    b">-\n",
    b"[",
    b"{",
    b"]",
    b"'",
    b'"',
    b"#",
    b"%YAML 9\n",
)
PIECES += (
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\x85",
    b"\x1b[2J",
    b'"\\ud800"',
    b".nan",
    b"-.inf",
    b"9" * 400,
)
PIECES += (b"[" * 50, b"1e999", b"10000000000000000000", b"&a [*a, *a]", b"@", b"`")


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def run(argv, environ=None):
    """Exit code and output of the program; it prints the config and does not train."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = task.main([*argv, "--print_config"], environ or {})
    said = err.getvalue()
    assert code in (0, 2), said
    if code == 2:
        assert out.getvalue() == ""
        assert said.startswith("error: ")
        assert said.count("\n") == 1
        assert said.strip().isprintable()
        assert len(said) < MAX_CHARACTERS + 20
    return code, out.getvalue(), said


def check_config(path, *argv):
    with only_clear_errors():
        code, printed, said = run([f"--config={path}", *argv])
        if code == 2:
            assert str(path) in said or "--" in said
            return
        # What it prints is a config again, and the same.
        config = parse_config(load_yaml(printed, "printed"), "printed")
        assert config_yaml(config) == printed


@fuzz(0.7)
@given(damaged(CONFIGS, PIECES))
def test_damaged_config_file(folder, data):
    path = folder / "damaged.yaml"
    path.write_bytes(data)
    check_config(path)


@fuzz(0.5)
@given(with_odd_values([FULL]))
def test_odd_values_in_every_place_of_a_config(folder, values):
    # Straight, as a flag's JSON or a caller may give them, and through YAML.
    if isinstance(values, dict):
        with only_clear_errors():
            parse_config(values, "odd")
    path = folder / "odd.yaml"
    # JSON is YAML; what JSON has no words for, PyYAML writes.
    try:
        text = yaml.safe_dump(values, allow_unicode=True)
    except (ValueError, UnicodeEncodeError, yaml.YAMLError):
        text = json.dumps(str(values))
    path.write_text(text, errors="surrogatepass")
    check_config(path)


ALIASES = st.lists(
    st.tuples(
        st.integers(0, 9), st.integers(0, 12), st.sampled_from(["[{}]", "{{<<: [{}]}}", "{}"])
    ),
    min_size=1,
    max_size=14,
)


@fuzz(0.3)
@given(ALIASES, st.integers(0, 300))
def test_aliases_and_nesting(folder, steps, depth):
    lines = ["v: &v0 {x: 1}"]
    for number, (back, times, form) in enumerate(steps, start=1):
        items = ",".join([f"*v{max(0, number - 1 - back)}"] * times)
        lines.append(f"w{number}: &v{number} {form.format(items)}")
    lines.append(f"data: {'[' * depth}*v{len(steps)}{']' * depth}")
    path = folder / "aliases.yaml"
    path.write_text("\n".join(lines))
    check_config(path)


# What no kernel lets through: a NUL in an argument or a variable.
ARGUMENT_TEXTS = ODD_TEXTS.map(lambda text: text.replace("\0", "\udcff"))
NAMES = st.one_of(st.sampled_from(list(FLAGS)), st.sampled_from(list(FLAGS)), ARGUMENT_TEXTS)
VALUES = st.one_of(
    ARGUMENT_TEXTS,
    ODD_NUMBERS.map(str),
    st.lists(st.one_of(ODD_NUMBERS, ARGUMENT_TEXTS), max_size=3).map(json.dumps),
    st.sampled_from(["auto", "true", "a.csv,b.csv", "gs://bucket/x", "1", "0.5", "adam", ""]),
)
ARGUMENTS = st.one_of(
    st.builds("--{}={}".format, NAMES, VALUES),
    st.builds("--{}={}".format, st.sampled_from(list(FLAGS)), VALUES),
    st.builds("--{}".format, NAMES),
    VALUES,
)
VARIABLES = ("AIP_MODEL_DIR", "AIP_CHECKPOINT_DIR", "AIP_TENSORBOARD_LOG_DIR", "AIP_DATA_FORMAT")
VARIABLES += ("AIP_TRAINING_DATA_URI", "AIP_VALIDATION_DATA_URI", "AIP_TEST_DATA_URI")
VARIABLES += (
    "CLOUD_ML_TRIAL_ID",
    "CLOUD_ML_HP_METRIC_FILE",
    "CLOUD_ML_JOB_ID",
    "CLOUD_ML_PROJECT_ID",
)
ENVIRONMENTS = st.dictionaries(
    st.sampled_from(VARIABLES),
    st.one_of(
        st.sampled_from(["csv", "bigquery", "gs://b/f/model/", "bq://a.b.c"]), ARGUMENT_TEXTS
    ),
    max_size=4,
)


@fuzz()
@given(st.lists(ARGUMENTS, max_size=5), ENVIRONMENTS)
def test_any_command_line_and_variables(argv, environ):
    if {"--help", "-h", "--version"} & set(argv):
        return
    with only_clear_errors():
        code, printed, _ = run(argv, environ)
        if code == 0:
            config = parse_config(load_yaml(printed, "printed"), "printed")
            assert config_yaml(config) == printed


CLUSTERS = [
    {
        "cluster": {"chief": ["a:1"], "worker": ["b:1", "10.0.0.1:65535"], "ps": ["c:3"]},
        "task": {"type": "worker", "index": 1, "trial": "7"},
        "environment": "cloud",
    },
    {
        "cluster": {"workerpool0": ["a:1"], "workerpool2": ["c:3"], "workerpool3": ["e:1"]},
        "task": {"type": "workerpool0", "index": 0},
        "job": {"workerPoolSpecs": [{}, {}, {"containerSpec": {"imageUri": "x/reductionserver"}}]},
    },
    {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "evaluator", "index": "0"}},
]
SPECS = st.one_of(
    with_odd_values(CLUSTERS).map(lambda values: json.dumps(values, default=str)),
    damaged([json.dumps(values).encode() for values in CLUSTERS]).map(
        lambda data: data.decode(errors="surrogateescape")
    ),
    st.sampled_from([json.dumps(values) for values in CLUSTERS]),
    ARGUMENT_TEXTS,
)


@fuzz(4)
@given(SPECS, st.one_of(st.just(""), SPECS))
def test_any_cluster(tf_config, cluster_spec):
    for environ in (
        {"TF_CONFIG": tf_config},
        {"TF_CONFIG": tf_config, "CLUSTER_SPEC": cluster_spec},
    ):
        with only_clear_errors() as messages:
            cluster = read_environment(environ).cluster
        if messages:
            assert "TF_CONFIG" in messages[0] or "CLUSTER_SPEC" in messages[0]
            assert len(messages[0]) < 500
            continue
        # Whatever is accepted can train: one writes, and everyone has an address of its own.
        addresses = [a for found in cluster.addresses.values() for a in found]
        assert len(set(addresses)) == len(addresses)
        if addresses:
            assert len(cluster.addresses.get("chief", ())) <= 1
            own = cluster.addresses.get(cluster.task_type)
            assert cluster.task_type == "evaluator" or cluster.task_index < len(own)
            assert all(1 <= int(address.rpartition(":")[2]) < 2**16 for address in addresses)


def _statistics():
    builder = StatisticsBuilder(["age"], ["city"], "y")
    rows = np.arange(50)
    columns = {"age": rows % 7.0, "y": rows / 3, "city": pa.array(["Rome", "Oslo"] * 25)}
    builder.add(columns, rows.astype(np.uint64))
    return builder.finalize().to_json()


STATISTICS = _statistics()


def json_dump(values):
    """JSON with NaN and Infinity, as Python writes and reads them; halves of pairs escaped."""
    return json.dumps(values).encode()


@fuzz(2)
@given(
    st.one_of(
        damaged([STATISTICS.encode()], (b"NaN", b"Infinity", b"-", b"null", b'"', b"[", b"1e999")),
        with_odd_values([json.loads(STATISTICS)]).map(json_dump),
    )
)
def test_damaged_statistics(data):
    text = data.decode(errors="replace")
    with only_clear_errors() as messages:
        statistics = TableStatistics.from_json(text)
    if messages:
        assert "not a statistics.json" in messages[0]
    else:
        assert TableStatistics.from_json(statistics.to_json()) == statistics
        assert statistics.label.quantile_edges(8) is not None
        assert np.isfinite(statistics.label.bucket_edges(8)).all()


CONFIG = parse_config({**FULL, "output": {"job_dir": "unused"}}, "test")
IDENTITY = RunFolder(CONFIG).identify(CONFIG, {"a.csv": "12-34"})


@fuzz(3)
@given(
    st.one_of(damaged([json.dumps(IDENTITY).encode()]), with_odd_values([IDENTITY]).map(json_dump))
)
def test_damaged_claim_of_a_run(folder, data):
    run_folder = RunFolder(parse_config({**FULL, "output": {"job_dir": str(folder)}}, "test"))
    (folder / "run.json").write_bytes(data)
    with only_clear_errors() as messages:
        run_folder.check(IDENTITY)
    if messages:
        assert str(folder) in messages[0]
    else:  # Nothing that counts was damaged.
        known = json.loads(data)
        for part, values in json.loads(json.dumps(IDENTITY)).items():
            assert {k: v for k, v in known[part].items() if v is not None} == {
                k: v for k, v in values.items() if v is not None
            }
