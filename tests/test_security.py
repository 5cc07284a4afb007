"""What SECURITY.md claims: forbidden calls by the source's syntax, and attacks by real runs."""

import ast
import io
import json
import os
import re
import runpy
import subprocess
import tarfile
from html.parser import HTMLParser
from pathlib import Path

import pytest
from runs import ROOT, run_task

from trainer import task
from trainer.config import parse_config
from trainer.errors import UserError
from trainer.jobs import check, cluster_run, local_tuning, submit
from trainer.jobs.fake_cloud import buckets_in, fake_cloud, storage_client
from trainer.jobs.job_labels import make_labels
from trainer.jobs.package import content_hash
from trainer.jobs.search_space import Parameter
from trainer.jobs.study import Study
from trainer.jobs.study_page import write_page
from trainer.jobs.trials import Trial
from trainer.outcome import exit_code_of
from trainer.run_folder import RunFolder

SOURCES = sorted(
    [*(ROOT / "trainer").rglob("*.py"), *(ROOT / "scripts").glob("*.py"), ROOT / "setup.py"]
)
SHELL = sorted([*(ROOT / "scripts").glob("*.sh"), ROOT / ".ci" / "run"])
SECRET = "s3cr3tVa1ue"

# Of calls, by full name; a name that ends with a dot stands for all that begin with it.
FORBIDDEN = {
    "eval": "runs text as code",
    "exec": "runs text as code",
    "compile": "makes code of text",
    "__import__": "imports what a text says",
    "pickle.": "loading runs code",
    "cPickle.": "loading runs code",
    "dill.": "loading runs code",
    "joblib.": "loading runs code",
    "cloudpickle.": "loading runs code",
    "marshal.": "loading runs code",
    "shelve.": "loading runs code",
    "pandas.read_pickle": "loading runs code",
    "os.system": "a shell reads the text",
    "os.popen": "a shell reads the text",
    "subprocess.getoutput": "a shell reads the text",
    "subprocess.getstatusoutput": "a shell reads the text",
    "commands.": "a shell reads the text",
    "yaml.unsafe_load": "makes any object",
    "yaml.full_load": "makes more than plain values",
    "yaml.load_all": "only load with our own loaders",
    "tempfile.mktemp": "another may make the file first",
    "hashlib.sha1": "weak; usedforsecurity=False where it guards nothing",
    "hashlib.md5": "weak; usedforsecurity=False where it guards nothing",
    "ssl._create_unverified_context": "believes any server",
    "keras.config.enable_unsafe_deserialization": "loading runs code",
    "keras.models.load_model": "a layer of the file may be code",
    "keras.saving.load_model": "a layer of the file may be code",
    "tensorflow.py_function": "the exported model would run Python",
    "tensorflow.numpy_function": "the exported model would run Python",
    "telnetlib.": "plain text",
    "ftplib.": "plain text",
}
FORBIDDEN_METHODS = {"extractall": "writes where the archive says", "extract": "the same"}
FORBIDDEN_KEYWORDS = {("shell", True), ("verify", False), ("allow_pickle", True)}


def full_names(tree):
    """Local name -> what it was imported as."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return names


def dotted(node, names):
    """The full name of `a.b.c`; '' of any other expression."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{owner}.{node.attr}" if (owner := dotted(node.value, names)) else ""
    return ""


def is_forbidden(name):
    return name in FORBIDDEN or any(name.startswith(f) for f in FORBIDDEN if f.endswith("."))


def violations(text):
    """Line and reason of everything in a source that may not be there."""
    tree = ast.parse(text)
    names = full_names(tree)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [getattr(node, "module", None), *(alias.name for alias in node.names)]
            found += [(node.lineno, f"import {m}") for m in modules if m and is_forbidden(f"{m}.")]
        elif isinstance(node, ast.Attribute | ast.Name):
            name = dotted(node, names)
            # A reference is as good as a call: it can be passed on. Only md5 has a harmless form.
            if is_forbidden(name) and not name.startswith("hashlib."):
                found.append((node.lineno, name))
        if isinstance(node, ast.Call):
            found += call_violations(node, dotted(node.func, names), names, tree)
    return found


def call_violations(node, name, names, tree):
    keywords = {k.arg: getattr(k.value, "value", ...) for k in node.keywords}
    found = [(node.lineno, f"{k}={v}") for k, v in FORBIDDEN_KEYWORDS if keywords.get(k) is v]
    if name in ("hashlib.md5", "hashlib.sha1") and keywords.get("usedforsecurity") is not False:
        found.append((node.lineno, name))
    method = getattr(node.func, "attr", "")
    if method in FORBIDDEN_METHODS:
        found.append((node.lineno, f".{method}()"))
    if name == "importlib.import_module" and not isinstance(node.args[0], ast.Constant):
        found.append((node.lineno, "import_module of a computed name"))
    if name in ("yaml.load", "yaml.compose") and not is_safe_loader(node, names, tree):
        found.append((node.lineno, f"{name} without a SafeLoader"))
    return found


def is_safe_loader(call, names, tree):
    """Whether the second argument is a class that the file derives from yaml.SafeLoader."""
    loaders = [*call.args[1:], *(k.value for k in call.keywords if k.arg == "Loader")]
    classes = {node.name: node.bases for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    bases = [classes.get(getattr(loader, "id", ""), []) for loader in loaders]
    return bool(bases) and all(
        [dotted(b, names) for b in base] == ["yaml.SafeLoader"] for base in bases
    )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_source_has_no_call_that_runs_data_as_code(path):
    assert violations(path.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "eval('1')",
        "run = exec\nrun('1')",
        "import pickle",
        "from pickle import loads",
        "import pickle as p\np.loads(b'')",
        "import os\nos.system('x')",
        "from os import popen as p\np('x')",
        "import subprocess\nsubprocess.run('x', shell=True)",
        "import yaml\nyaml.load('x', yaml.Loader)",
        "import yaml\nyaml.load('x', Loader=yaml.FullLoader)",
        "import yaml\nclass L(yaml.UnsafeLoader): pass\nyaml.load('x', L)",
        "import yaml\nyaml.load('x')",
        "import yaml\nyaml.unsafe_load('x')",
        "import tarfile\ntarfile.open('x').extractall('y')",
        "import zipfile as z\nwith z.ZipFile('x') as a: a.extractall()",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import tempfile\ntempfile.mktemp()",
        "import hashlib\nhashlib.md5(b'')",
        "import requests\nrequests.get('x', verify=False)",
        "import importlib\nimportlib.import_module(name)",
        "import keras\nkeras.models.load_model('x')",
        "import tensorflow as tf\ntf.py_function(f, [], tf.int32)",
    ],
)
def test_check_of_the_source_finds(text):
    assert violations(text)


def test_check_of_the_source_lets_plain_code_pass():
    assert not violations(
        "import ast, hashlib, re, subprocess, tarfile, yaml\n"
        "class L(yaml.SafeLoader): pass\n"
        "re.compile('x'); yaml.load('x', L); subprocess.run(['x'], shell=False)\n"
        "hashlib.md5(b'', usedforsecurity=False); tarfile.open('x').extractfile('y')\n"
    )


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.name)
def test_shell_scripts_run_no_text_as_code(path):
    text = "\n".join(line for line in path.read_text().splitlines() if line.strip()[:1] != "#")
    assert not re.search(r"\beval\b|\b(ba)?sh -c (?!')|\|\s*(sudo )?(ba)?sh\b|curl .*-k\b", text)
    # Only files of the checkout and of its .venv: a file that a user names is data.
    sourced = re.findall(r"(?:^|\s)(?:source|\.) +(\S.*)", text)
    assert all(re.match(r'"\$\((dirname|cd)|"\$venv_dir/bin/activate"', s) for s in sourced), (
        sourced
    )


ATTACKS = [
    "!!python/object/apply:os.system [touch {marker}]",
    "!!python/object/new:os.system [touch {marker}]",
    "!!python/object/apply:subprocess.check_output [[touch, {marker}]]",
    "!!python/name:os.system",
    "!!python/module:antigravity",
    "!!python/object/apply:builtins.eval [\"open('{marker}', 'w')\"]",
    "!include /etc/passwd",
]
JOB = """
workerPoolSpecs:
- machineSpec: {machineType: n2-standard-8}
  replicaCount: 1
  containerSpec: {imageUri: image, args: %s }
"""
STUDY = """
studySpec:
  metrics: [{metricId: val_rmse, goal: MINIMIZE}]
  parameters: %s
trialJobSpec:
  workerPoolSpecs: [{replicaCount: 1, containerSpec: {imageUri: image}}]
"""


def run_command(what, path, tmp_path):
    """The exit code of the command that reads such a file, run in this process."""
    if what == "config":
        return task.main([f"--config={path}", f"--job_dir={tmp_path}/run"], {})
    if what == "job":
        return exit_code_of(lambda: check.main([str(path), "--offline"], {}))
    if what == "local job":
        return cluster_run.main([str(path), f"--work_dir={tmp_path}/work"], {})
    return exit_code_of(lambda: local_tuning.main([str(path), f"--study_dir={tmp_path}/s"], {}))


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("config", "columns: {a: numeric}\nlabel: %s\n"),
        ("job", JOB),
        ("local job", JOB),
        ("study", STUDY),
    ],
    ids=["config", "job", "local job", "study"],
)
@pytest.mark.usefixtures("restore_logging")
def test_yaml_makes_no_objects(what, text, attack, tmp_path, capsys):
    path = tmp_path / "file.yaml"
    path.write_text(text % attack.format(marker=tmp_path / "marker"))

    assert run_command(what, path, tmp_path) == 2
    out, err = capsys.readouterr()
    # The check of job files prints what it finds, and then counts it.
    said = err if what != "job" else out
    assert re.fullmatch(rf"error: {path}:\d+: could not determine a constructor .*\n", said)
    assert [p.name for p in tmp_path.iterdir()] == ["file.yaml"]


def listing(folder):
    """Every file, folder and link under it, with what is in each file."""
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


HOSTILE = [
    "../../outside",
    "/tmp/outside-by-absolute-path",
    "..",
    "a/b",
    "a\\..\\b",
    "$(touch marker)",
    "`touch marker`;touch marker",
    "%(x)s{0}${HOME}",
    "<script>alert(1)</script>",
    "\x1b[2J",
]


@pytest.mark.slow
def test_names_of_columns_and_values_become_no_paths(tmp_path):
    """A whole run, with cache, checkpoints, TensorBoard, export and report."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    header = ["label", *HOSTILE]
    rows = [[str(i % 7), *(HOSTILE[(i + j) % len(HOSTILE)] for j in range(len(HOSTILE)))]
            for i in range(60)]  # fmt: skip
    quoted = [
        ",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in [header, *rows]
    ]
    (inner / "data.csv").write_text("\n".join(quoted) + "\n")
    columns = {name: {"kind": "categorical"} for name in HOSTILE}
    config = {
        "data": {"train": ["data.csv"], "validation_fraction": 0.2, "cache_dir": "run/cache"},
        "label": {"column": "label", "task": "regression"},
        "columns": columns,
        "crosses": [{"columns": HOSTILE[:2], "bins": 10}],
        "model": {"hidden_units": [4]},
        "training": {"steps": 4, "batch_size": 16},
    }
    (inner / "config.yaml").write_text(json.dumps(config))
    before = listing(tmp_path)

    done = run_task("--config=config.yaml", "--job_dir=run", cwd=inner, TMPDIR=str(inner))

    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    after = listing(tmp_path)
    made = {str(path) for path in after.keys() - before.keys()}
    assert "a/b/run/model/saved_model.pb" in made
    assert {path for path in made if not (path + "/").startswith("a/b/run/")} == set()
    assert {path: after[path] for path in before} == before
    assert not Path("/tmp/outside-by-absolute-path").exists()
    plain = re.compile(r"[\w./-]+")
    assert [path for path in made if not plain.fullmatch(path) or ".." in path] == []


@pytest.mark.parametrize("name", ["../../outside", "/tmp/x/outside", "a b", "..", ".hidden", "A"])
def test_name_of_a_local_job_does_not_lead_elsewhere(name, tmp_path, monkeypatch, capsys):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "job.yaml").write_text(JOB % "[]")
    monkeypatch.chdir(inner)
    before = listing(tmp_path)

    assert cluster_run.main(["job.yaml", f"--name={name}"], os.environ) == 2
    assert "--name must be 1 to 128 of a-z" in capsys.readouterr().err
    assert exit_code_of(
        lambda: submit.main(["job.yaml", "--project=p", "--region=us-east1", "--dry_run",
                             f"--name={name}"], {})
    ) == 2  # fmt: skip
    assert listing(tmp_path) == before


def test_bucket_names_are_folders_of_the_local_cloud_alone(tmp_path):
    uris = ["gs://../outside/x", "gs:///etc/x", "gs://..", "gs://.hidden", "gs://ok/../../outside"]
    assert buckets_in(" ".join(uris)) == ["ok"]
    folder = tmp_path / "a" / "gs"
    before = listing(tmp_path)
    with fake_cloud(str(folder), ["good"]) as endpoint:
        client = storage_client(endpoint)
        for name in ("../outside", "a/../../../outside", "../../outside", "/outside"):
            try:
                client.bucket("good").blob(name).upload_from_string("x", retry=None)
            except Exception:  # noqa: BLE001  # refused is as good
                continue
    with pytest.raises(UserError, match="cannot be a bucket"), fake_cloud(str(folder), ["../b"]):
        pass
    after = listing(tmp_path)
    made = {str(path) for path in after.keys() - before.keys()}
    assert {
        p
        for p in made
        if not (p + "/").startswith(("a/gs/good/", "a/gs/.")) and p not in ("a", "a/gs")
    } == set()


def test_restart_deletes_links_and_not_what_they_lead_to(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    run = tmp_path / "run"
    for name in ("logs/train/events.out.tfevents.1", "checkpoints/step-000000064", "model/assets"):
        (run / name).parent.mkdir(parents=True)
        (run / name).symlink_to(precious)
    (run / "report.json").symlink_to(precious / "file")
    values = {"columns": {"x": "numeric"}, "label": {"column": "y", "task": "regression"}}

    RunFolder(parse_config(values | {"output": {"job_dir": str(run)}}, "test")).discard()

    assert list(run.iterdir()) == []
    assert [(p.name, p.read_text()) for p in precious.iterdir()] == [("file", "kept")]


def test_hostile_archive_is_read_and_never_unpacked(tmp_path):
    archive = tmp_path / "a" / "x.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("top/../../outside", "/etc/outside", "top/file"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"evil"))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo("top/file")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    before = listing(tmp_path)

    assert re.fullmatch("[0-9a-f]{64}", content_hash(archive))
    assert listing(tmp_path) == before


class Tags(HTMLParser):
    """Every tag with the names of its attributes, in order."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, sorted(name for name, _ in attrs)))


def page_of(tmp_path, text):
    """study.html of a study in which every text that a user can choose is `text`."""
    metric, name = f"m{text}", f"p{text}"
    choices = (f"a{text}", f"b{text}")
    study = Study(
        {metric: "MINIMIZE"},
        (
            Parameter(name, name, "categorical", choices=choices),
            Parameter("x", "x", "double", low=0.0, high=9.0),
        ),
    )
    trials = [
        Trial(str(i), "SUCCEEDED", {name: choices[i % 2], "x": float(i)}, {metric: i / 7}, i)
        for i in range(1, 6)
    ]
    trials.append(Trial("6", "INFEASIBLE", {name: choices[0], "x": 1.0}, reason=f"r{text}"))
    write_page(study, trials, f"Study {text}", tmp_path)
    return (tmp_path / "study.html").read_text()


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "</script><img src=x onerror=alert(1)>",
        "</title></style></pre><svg onload=alert(1)>",
        "\"' onmouseover=alert(1) x='",
        "<!--<script>",
        "{table}{0.__class__}",
    ],
)
def test_page_of_a_study_takes_no_tag_from_a_text(text, tmp_path):
    pytest.importorskip("plotly")
    assert Tags(page_of(tmp_path, text)).tags == Tags(page_of(tmp_path, "plain")).tags


SECRET_PATHS = [
    f"https://storage.googleapis.com/b/t.csv?X-Goog-Algorithm=A&X-Goog-Signature={SECRET}",
    f"https://user:{SECRET}@host/t.csv",
    f"https://host/t.csv?token={SECRET}",
    f"gs://bucket/t.csv?GoogleAccessId=a&Signature={SECRET}",
]


def secrets_in(folder):
    return [path for path, data in listing(folder).items() if data and SECRET.encode() in data]


@pytest.mark.parametrize("path", SECRET_PATHS[:3])
@pytest.mark.parametrize("is_cloud", [False, True])
@pytest.mark.usefixtures("restore_logging")
def test_signed_addresses_and_tokens_are_not_said(path, is_cloud, tmp_path, capfd):
    spec = {"cluster": {}, "task": {"type": "chief", "index": 0}, "environment": "cloud"}
    environ = {"CLUSTER_SPEC": json.dumps(spec)} if is_cloud else {}
    argv = [f"--train={path}", "--label=y", "--task=regression", f"--job_dir={tmp_path}/run"]
    config = tmp_path / "config.yaml"
    config.write_text("columns: {x: numeric}\nlabel: {column: y, task: regression}\n")

    assert task.main([f"--config={config}", argv[0], argv[-1]], environ | {"HF_TOKEN": SECRET}) == 2

    out, err = capfd.readouterr()
    assert "***" in out + err and SECRET not in out + err
    assert secrets_in(tmp_path) == []


JOB_WITH_SECRET = f"""
workerPoolSpecs:
- machineSpec: {{machineType: n2-standard-8}}
  replicaCount: 1
  containerSpec:
    imageUri: image
    args: ["--train={SECRET_PATHS[3]}"]
    env: [{{name: HF_TOKEN, value: {SECRET}}}]
baseOutputDirectory: {{outputUriPrefix: "gs://bucket/run"}}
"""


def test_secrets_of_a_job_file_are_not_said(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("job.yaml").write_text(JOB_WITH_SECRET)
    place = ["--project=p", "--region=us-east1", "--name=n"]

    exit_code_of(lambda: check.main(["job.yaml", "--offline"], {}))
    exit_code_of(lambda: submit.main(["job.yaml", *place, "--dry_run"], os.environ))

    out, err = capfd.readouterr()
    assert "HF_TOKEN seems to hold a secret" in out and "***" in out
    assert SECRET not in out + err


def test_secrets_of_a_study_are_neither_said_nor_stored(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    spec = JOB_WITH_SECRET.replace("\n", "\n  ").replace(SECRET_PATHS[3], "gs://bucket/t.csv")
    text = STUDY.partition("trialJobSpec")[0] % (
        "[{parameterId: dropout, doubleValueSpec: {minValue: 0, maxValue: 0.5}}]"
    )
    text = f"{text}maxTrialCount: 2\ntrialJobSpec:{spec}"

    def fail(_):
        raise UserError("no trial is run")

    for secret in (SECRET, f"{SECRET}2"):
        Path("study.yaml").write_text(text.replace(f"value: {SECRET}", f"value: {secret}"))
        argv = ["study.yaml", "--study_dir=study"]
        assert exit_code_of(lambda argv=argv: local_tuning.main(argv, {}, launch=fail)) == 2

    out, err = capfd.readouterr()
    assert "study holds another study: env was" in err and SECRET not in out + err
    assert [str(path) for path in secrets_in(tmp_path)] == ["study.yaml"]


def test_labels_of_a_job_take_nothing_from_the_environment(tmp_path):
    environ = {**os.environ, "HF_TOKEN": SECRET, "GIT_AUTHOR_NAME": SECRET, "USER": SECRET}
    assert set(make_labels(environ)) <= {"trainer_version", "git_revision"}
    assert SECRET not in str(make_labels(environ))


# Without an upper bound, and why.
UNBOUNDED = {"pyarrow": "a new major each quarter that seldom removes anything"}


def test_dependencies_are_ranges(monkeypatch):
    found = {}
    monkeypatch.setattr("setuptools.setup", lambda **values: found.update(values))
    runpy.run_path(str(ROOT / "setup.py"))
    extras = found["extras_require"].values()
    requirements = [*found["install_requires"], *(text for extra in extras for text in extra)]
    assert len(requirements) > 30

    for text in requirements:
        name, bounds = re.fullmatch(r"([\w-]+)(?:\[[\w-]+\])?([^;]*)(?:;.*)?", text).groups()
        kinds = [re.match("[<>=!~]+", bound.strip())[0] for bound in bounds.split(",") if bound]
        assert kinds == ([">="] if name in UNBOUNDED else [">=", "<"]), text


def test_checks_look_for_known_weaknesses():
    assert "run python .ci/audit.py\n" in (ROOT / ".ci" / "run").read_text()


def test_security_md_names_only_tests_that_exist():
    text = (ROOT / "SECURITY.md").read_text()
    named = re.findall(r"(?:`|^)(?:(tests/test_\w+\.py)::)?(test_\w+)`", text, re.MULTILINE)
    assert len(named) > 20
    for path, name in named:
        source = (ROOT / (path or "tests/test_security.py")).read_text()
        assert f"def {name}(" in source, (path, name)


def test_names_of_the_image_script_are_read_and_not_run(tmp_path):
    names = tmp_path / "names.env"
    names.write_text(
        f"PROJECT=p1\ntouch {tmp_path}/marker\nREGION=$(touch {tmp_path}/marker)\n"
        f"BUCKET=`touch {tmp_path}/marker`\nIMAGE=host/$PROJECT/x\n"
    )
    done = subprocess.run(
        ["bash", ROOT / "scripts" / "build_image.sh", "--dry_run", f"--names={names}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.startswith(f"error: {names}:2 must be NAME=value")
    assert [p.name for p in tmp_path.iterdir()] == ["names.env"]
