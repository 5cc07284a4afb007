"""Dockerfile, .dockerignore and scripts/build_image.sh, as far as no Docker engine is needed."""

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest
import yaml
from runs import ROOT

from trainer import __version__
from trainer.redaction import names_secret

DOCKERFILE = ROOT / "Dockerfile"
SCRIPT = ROOT / "scripts/build_image.sh"
DEVICES = ["cpu", "gpu", "tpu"]


def instructions():
    """(instruction, rest) of the Dockerfile with comments gone and lines joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not re.match(r"\s*#", line)]
    text = "\n".join(lines).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def stages():
    """Stage name -> (base, instructions), and the arguments before the first stage."""
    found, arguments, current = {}, {}, None
    for word, rest in instructions():
        if word == "FROM":
            base, _, name = rest.split()
            found[name] = (base, current := [])
        elif current is None:
            assert word == "ARG"
            name, _, value = rest.partition("=")
            arguments[name] = value
        else:
            current.append((word, rest))
    return found, arguments


def chain(device):
    """All instructions of the image, the base's first, and the external base."""
    found, arguments = stages()
    name, collected = list(found)[-1], []
    while name in found:
        base, own = found[name]
        collected = own + collected
        base = base.replace("${DEVICE}", device)
        name = base.replace("${BASE}", arguments["BASE"])
    return collected, name


def is_ignored(path):
    """Whether Docker leaves the path out: the last pattern that matches it or a parent decides.

    Source: the reference of docker build; patterns are rooted, and ** crosses folders.
    """
    ignored = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.lstrip("!").lstrip("/")
        parents = [str(p) for p in (PurePosixPath(path), *PurePosixPath(path).parents)][:-1]
        for parent in parents:
            deep = pattern.startswith("**/")
            same_depth = parent.count("/") == pattern.count("/")
            name = PurePosixPath(parent).name if deep else parent
            if fnmatch.fnmatch(name, pattern.removeprefix("**/")) and (deep or same_depth):
                ignored = not line.startswith("!")
    return ignored


def run_script(*arguments, names=None, path=None, tmp_path=None):
    if names is not None:
        (tmp_path / "names.env").write_text(names)
        arguments = (*arguments, f"--names={tmp_path}/names.env")
    environ = {**os.environ, "PATH": path or os.environ["PATH"]}
    return subprocess.run(
        ["/bin/bash", SCRIPT, *arguments], cwd="/", env=environ, capture_output=True, text=True
    )


NAMES = "PROJECT=p1\nREGION=europe-west4\nBUCKET=b1\nIMAGE=localhost:5000/$PROJECT/trainer\n"


@pytest.fixture
def tools(tmp_path):
    """A folder of commands that stand for docker and gcloud and note how they are called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "git", "sed", "date", "mktemp", "dirname", "cat", "rm"):
        (folder / name).symlink_to(shutil.which(name))

    def add(name, body=""):
        record = f'printf "%s\\n" "$(basename "$0") $*" >> {tmp_path}/calls\n'
        (folder / name).write_text(f"#!/bin/bash\nPATH=/usr/bin:/bin\n{record}{body}\n")
        (folder / name).chmod(0o755)

    add.path = str(folder)
    return add


def calls(tmp_path):
    lines = (tmp_path / "calls").read_text().splitlines()
    return [shlex.split(line) for line in lines]


def test_hadolint_finds_nothing():
    beside = Path(sys.executable).parent / "hadolint"
    hadolint = beside if beside.exists() else shutil.which("hadolint")
    if not hadolint:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("device", DEVICES)
def test_image_of_each_device_is_pinned_and_runs_the_trainer(device):
    own, base = chain(device)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", base)
    entry_points = [json.loads(rest) for word, rest in own if word == "ENTRYPOINT"]
    assert entry_points == [["python", "-m", "trainer.task"]]
    assert not [rest for word, rest in own if word == "CMD"]
    users = [rest for word, rest in own if word == "USER"]
    # The devices of a TPU VM belong to root.
    assert users == ([] if device == "tpu" else ["${RUN_AS}"])
    if users:
        assert ("ARG", "RUN_AS=trainer") in own
    env = " ".join(rest for word, rest in own if word == "ENV")
    assert ("NEXT_PLUGGABLE_DEVICE_USE_C_API=true" in env) == (device == "tpu")
    assert ("TF_PLUGGABLE_DEVICE_LIBRARY_PATH=/lib/libtpu.so" in env) == (device == "tpu")
    (labels,) = [rest for word, rest in own if word == "LABEL"]
    for key in ("title", "description", "licenses", "version", "revision", "created"):
        assert f"org.opencontainers.image.{key}=" in labels


def test_code_comes_after_everything_that_is_slow():
    found, arguments = stages()
    assert arguments["DEVICE"] == "cpu"
    words = found["dependencies"][1]
    install = next(i for i, (word, rest) in enumerate(words) if "pip install" in rest)
    # setup.py alone decides whether TensorFlow is installed again.
    assert [rest for word, rest in words if word == "COPY"] == ["setup.py ./"]
    assert words.index(("COPY", "setup.py ./")) < install
    assert '".[${DEVICE}]"' in words[install][1]
    final = found[list(found)[-1]][1]
    assert final[0] == ("COPY", "--from=package /opt/package /opt/package")
    own, _ = chain("cpu")
    assert own.index(("COPY", "--from=dependencies /opt/venv /opt/venv")) < own.index(final[0])
    # What changes with every commit stands behind all that it would rebuild.
    behind = final.index(("ARG", "REVISION=unknown"))
    assert not {"RUN", "COPY"} & {word for word, _ in final[behind:]}


@pytest.mark.parametrize("device", DEVICES)
def test_image_has_no_secrets_caches_and_open_doors(device):
    own, _ = chain(device)
    for word, rest in own:
        if word in ("ARG", "ENV"):
            names = re.findall(r"(\w+)(?==|\s|$)", rest.partition("=")[0] + "=")
            assert not any(names_secret(name) for name in names), rest
        if word in ("COPY", "ADD"):
            # What root owns the user cannot change.
            assert word == "COPY" and "--chown" not in rest and "--chmod" not in rest
        if word == "RUN":
            assert not re.search(r"chmod|sudo|\b(curl|wget)\b.*(-k\b|--insecure)|http:", rest)
            assert "pip install" not in rest or "--no-cache-dir" in rest
            if "apt-get install" in rest:
                assert rest.count("apt-get install") == rest.count("--no-install-recommends")
                assert "rm -rf /var/lib/apt/lists/*" in rest and "signed-by=" in rest
                # What was needed to fetch the package goes again.
                assert "apt-get purge --yes --auto-remove curl gnupg" in rest
    words = [word for word, _ in own]
    if "USER" in words:
        assert "RUN" not in words[words.index("USER") :]


@pytest.mark.parametrize("device", DEVICES)
def test_device_is_an_extra_of_the_package(device):
    setup = (ROOT / "setup.py").read_text()
    assert re.search(rf'^        "{device}": \[', setup, re.MULTILINE)


def test_copied_files_exist_and_reach_the_builder():
    found, _ = stages()
    copied = []
    for _, own in found.values():
        for word, rest in own:
            if word in ("COPY", "ADD") and not rest.startswith("--from="):
                copied += rest.split()[:-1]
    assert sorted(set(copied)) == ["pyproject.toml", "setup.py", "trainer"]
    for source in copied:
        assert (ROOT / source).exists() and not is_ignored(source)
    assert not is_ignored("trainer/jobs/package.py") and not is_ignored("Dockerfile")


@pytest.mark.parametrize(
    "path",
    [
        *(".git/HEAD", ".venv/bin/python", "tests/test_image.py", "README.md", "runs/a/model"),
        *("configs/names.env", "dist/a.whl", "key.json", "trainer/__pycache__/task.pyc"),
        *("trainer/jobs/__pycache__/check.cpython-311.pyc", "data/trainer/rows.csv"),
    ],
)
def test_nothing_else_reaches_the_builder(path):
    assert is_ignored(path)


def test_gcloud_reads_the_ignore_file_as_docker_does(tmp_path):
    if shutil.which("gcloud") is None:
        pytest.skip("gcloud is not installed")
    files = ["Dockerfile", "setup.py", "pyproject.toml", "trainer/task.py", "trainer/jobs/a.yaml"]
    unwanted = ["tests/a.py", "x/trainer/a.py", "trainer/jobs/__pycache__/a.pyc", "key.json"]
    for name in files + unwanted:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    shutil.copy(ROOT / ".dockerignore", tmp_path / ".gcloudignore")
    done = subprocess.run(
        ["gcloud", "meta", "list-files-for-upload", tmp_path],
        env={**os.environ, "CLOUDSDK_CONFIG": str(tmp_path / "gcloud")},
        capture_output=True,
        text=True,
    )
    listed = done.stdout.splitlines()
    assert {name for name in listed if not name.startswith("gcloud/")} == set(files)


def test_package_stage_makes_what_the_entry_point_needs(tmp_path):
    found, _ = stages()
    (command,) = [rest for word, rest in found["package"][1] if word == "RUN"]
    source = tmp_path / "build"
    source.mkdir()
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "trainer", source / "trainer")
    # With what is installed here, where the image's build fetches setuptools.
    words = shlex.split(command.replace("/opt/package", str(tmp_path / "package")))
    assert words[:2] == ["pip", "install"]
    done = subprocess.run(
        [sys.executable, "-m", *words, "--no-build-isolation", "--quiet"],
        cwd=source,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (python_path,) = re.findall(r"PYTHONPATH=(\S+)", DOCKERFILE.read_text())
    environ = {**os.environ, "PYTHONPATH": python_path.replace("/opt", str(tmp_path))}
    done = subprocess.run(
        [sys.executable, "-m", "trainer.task", "--version"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"wide-and-deep-trainer {__version__}\n"


def test_script_parses_and_can_be_run():
    assert os.access(SCRIPT, os.X_OK)
    lines = SCRIPT.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash" and "set -euo pipefail" in lines
    assert subprocess.run(["bash", "-n", SCRIPT]).returncode == 0


@pytest.mark.parametrize("device", DEVICES)
def test_docker_builds_and_pushes_both_tags(device, tools, tmp_path):
    tools("docker")
    done = run_script(device, names=NAMES, path=tools.path, tmp_path=tmp_path)
    assert done.returncode == 0, done.stderr
    info, build, first, second = calls(tmp_path)
    assert info == ["docker", "info"]
    assert build[:2] == ["docker", "build"] and build[-1] == "."
    given = dict(build[i + 1].split("=", 1) for i, w in enumerate(build) if w == "--build-arg")
    assert given["DEVICE"] == device and given["VERSION"] == __version__
    assert re.fullmatch(r"[0-9a-f]{12}(-dirty)?|unknown", given["REVISION"])
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", given["CREATED"])
    # A build argument that the Dockerfile does not declare would be ignored with a warning.
    declared = {rest.split("=")[0] for word, rest in instructions() if word == "ARG"}
    assert set(given) <= declared
    tags = [build[i + 1] for i, word in enumerate(build) if word == "--tag"]
    pinned = f"localhost:5000/p1/trainer:{device}-{__version__}-{given['REVISION']}"
    assert tags == [f"localhost:5000/p1/trainer:{device}", pinned]
    assert [first, second] == [["docker", "push", tag] for tag in tags]
    assert f"image: {tags[0]} (pinned: {pinned})" in done.stdout
    assert "+ docker build" in done.stderr


def test_no_push_only_builds(tools, tmp_path):
    tools("docker")
    done = run_script("--no_push", names=NAMES, path=tools.path, tmp_path=tmp_path)
    assert done.returncode == 0
    assert [call[1] for call in calls(tmp_path)] == ["info", "build"]
    assert "DEVICE=cpu" in calls(tmp_path)[1]


def test_cloud_build_gets_the_same_arguments(tools, tmp_path):
    tools(
        "gcloud", f'for a; do case $a in --config=*) cp "${{a#*=}}" {tmp_path}/c.yaml;; esac; done'
    )
    done = run_script(
        "gpu", "--cloud", "--reduction_server", names=NAMES, path=tools.path, tmp_path=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (call,) = calls(tmp_path)
    assert call[:4] == ["gcloud", "builds", "submit", "--project=p1"]
    assert call[-2:] == ["--ignore-file=.dockerignore", "."]
    config = yaml.safe_load((tmp_path / "c.yaml").read_text())
    (step,) = config["steps"]
    arguments = step["args"]
    assert arguments[0] == "build" and arguments[-1] == "."
    assert {"DEVICE=gpu", "REDUCTION_SERVER=true", f"VERSION={__version__}"} <= set(arguments)
    tags = [arguments[i + 1] for i, word in enumerate(arguments) if word == "--tag"]
    assert config["images"] == tags and tags[0] == "localhost:5000/p1/trainer:gpu"
    assert config["timeout"] == "3600s"
    # The file was for this call alone.
    assert not Path(call[4].removeprefix("--config=")).exists()


def test_dry_run_needs_neither_docker_nor_gcloud_nor_names_of_ones_own(tools):
    here = run_script("tpu", "--dry_run", path=tools.path)
    assert here.returncode == 0, here.stderr
    assert here.stdout.count("+ docker ") == 3 and "DEVICE=tpu" in here.stdout
    cloud = run_script("tpu", "--cloud", "--dry_run", path=tools.path)
    assert cloud.returncode == 0, cloud.stderr
    assert "+ gcloud builds submit --project=my-project" in cloud.stdout
    config = cloud.stdout.split("+ gcloud")[0]
    assert yaml.safe_load(config)["steps"][0]["name"] == "gcr.io/cloud-builders/docker"


@pytest.mark.parametrize(
    ("arguments", "names", "message"),
    [
        (
            ["cpu"],
            NAMES,
            "docker is not installed. Install it, or let Cloud Build do it: .* cpu --c",
        ),
        (["cpu", "--cloud"], NAMES, "gcloud is not installed"),
        (["npu"], NAMES, "unknown argument 'npu'; expected cpu, gpu, tpu, --cloud"),
        (["tpu", "--reduction_server"], NAMES, "--reduction_server is for the gpu image; .* tpu"),
        (["--cloud", "--no_push"], NAMES, "--no_push has no effect with --cloud"),
        (["cpu"], "PROJECT=p\nIMAGE=\n", "names.env must set PROJECT and IMAGE"),
        (["cpu"], NAMES + "IMAGE=a/b:1\n", "IMAGE in .*names.env must have no tag.*a/b:1"),
        (["cpu"], NAMES + "PROJECT=my-project\n", "still has the example's names"),
        (["--names=/nowhere"], None, "no file /nowhere; give --names=FILE"),
    ],
)
def test_mistakes_are_one_line(arguments, names, message, tools, tmp_path):
    done = run_script(*arguments, names=names, path=tools.path, tmp_path=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(f"error: .*{message}.*\n", done.stderr), done.stderr


def test_an_engine_that_does_not_run_is_named(tools, tmp_path):
    tools("docker", "exit 1")
    done = run_script("gpu", names=NAMES, path=tools.path, tmp_path=tmp_path)
    assert done.returncode == 2
    assert re.fullmatch(r"error: docker's engine does not answer.*gpu --cloud\n", done.stderr)


def test_a_build_that_fails_is_not_pushed(tools, tmp_path):
    tools("docker", "if [[ $1 == build ]]; then exit 7; fi")
    done = run_script("cpu", names=NAMES, path=tools.path, tmp_path=tmp_path)
    assert done.returncode == 7
    assert [call[1] for call in calls(tmp_path)] == ["info", "build"]


def test_help_is_the_head_of_the_script():
    done = run_script("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Builds the container image") and "--dry_run" in done.stdout
    assert "set -euo" not in done.stdout
