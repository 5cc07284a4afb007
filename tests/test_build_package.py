"""scripts/build_package.sh: builds the package and proves it as the prebuilt image installs it."""

import os
import re
import shutil
import subprocess
import zipfile

import pytest
from runs import ROOT

from trainer.jobs.package import SDIST_NAME, content_hash

SCRIPT = ROOT / "scripts/build_package.sh"


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the script needs, so that a broken package can be tried."""
    folder = tmp_path / "checkout"
    for name in ("trainer", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def run_script(*arguments, script=SCRIPT, **environ):
    return subprocess.run(
        ["bash", script, *arguments],
        cwd="/",
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
    )


def test_script_parses_and_can_be_run():
    assert os.access(SCRIPT, os.X_OK)
    lines = SCRIPT.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash" and "set -euo pipefail" in lines
    assert subprocess.run(["bash", "-n", SCRIPT]).returncode == 0


def test_unknown_argument_is_one_line():
    done = run_script("--outdir=x")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: unknown argument '--outdir=x'; expected --out_dir=DIR or --image=PACKAGES\n"
    )


def test_help_is_the_head_of_the_script():
    done = run_script("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Builds the sdist and the wheel") and "--image" in done.stdout


@pytest.mark.slow
def test_package_is_built_and_proved(checkout, tmp_path):
    done = run_script(f"--out_dir={tmp_path}/out", script=checkout / "scripts/build_package.sh")
    assert done.returncode == 0, done.stderr
    assert re.search(r"test +model +rmse \d\.\d", done.stdout)
    assert re.search(r"proved in \d+ s with tensorflow.*==2\.", done.stdout)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(names) == 2 and names[1] == SDIST_NAME and names[0].endswith("-py3-none-any.whl")
    assert len(content_hash(tmp_path / "out" / SDIST_NAME)) == 64
    assert not (checkout / "dist").exists()
    with zipfile.ZipFile(tmp_path / "out" / names[0]) as wheel:
        carried = {"trainer/taxifare_sample.yaml", "trainer/insight/report.html.j2"}
        assert carried <= set(wheel.namelist())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # The image has another: pip would put a second one before it.
        ('"tqdm>=4.64,<5"', '"tqdm>=4.64,<4.66"', "would replace what the image has"),
        # In the checkout it works: the YAML is there.
        (
            '"trainer": ["*.yaml"], ',
            "",
            "the installed package does not train",
        ),
    ],
)
def test_a_package_that_would_break_the_image_is_refused(checkout, old, new, message):
    setup = (checkout / "setup.py").read_text()
    assert setup.count(old) == 1
    (checkout / "setup.py").write_text(setup.replace(old, new))
    # Without TensorFlow --help works, and a run reads its config before it needs TensorFlow.
    done = run_script("--image=tqdm==4.67.1", script=checkout / "scripts/build_package.sh")
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
