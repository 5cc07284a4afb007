"""trainer.jobs.package: what is in the package, when it counts as changed, how it is uploaded."""

import gzip
import io
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from runs import ROOT

from trainer import __version__, cloud_files
from trainer.errors import UserError
from trainer.jobs import package


@pytest.fixture(scope="module", autouse=True)
def checkout(tmp_path_factory):
    """A copy that no editor changes meanwhile; packages are built from it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("trainer", "tests", "configs", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "SOURCE_DIR", folder)
        yield folder


@pytest.fixture(scope="module")
def built(checkout, tmp_path_factory):
    """A folder with the sdist and the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    package.build_package(folder, wheel=True)
    return folder


@pytest.fixture(scope="module")
def sdist(built):
    return built / package.SDIST_NAME


def write_sdist(path, files, *, top="top", mtime=0):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size, member.mtime = len(data), mtime
            archive.addfile(member, io.BytesIO(data))
    return path


def sources(checkout):
    """Every file of the trainer in the checkout, as a path below it."""
    files = [path for path in (checkout / "trainer").rglob("*") if path.is_file()]
    return {path.relative_to(checkout).as_posix() for path in files}


def members(sdist):
    with tarfile.open(sdist) as archive:
        return {m.name.partition("/")[2] for m in archive if m.isfile()}


def test_sdist_holds_the_trainer_and_nothing_that_a_run_does_not_need(sdist, checkout):
    names = members(sdist)
    assert "trainer/taxifare_sample.yaml" in names and "trainer/jobs/package.py" in names
    assert {name for name in names if name.startswith("trainer/")} == sources(checkout)
    rest = {name.partition("/")[0] for name in names}
    assert rest == {
        *("trainer", "setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE", "PKG-INFO"),
        "wide_and_deep_trainer.egg-info",
    }


def test_wheel_holds_the_same_files(built, checkout):
    (wheel,) = built.glob("*.whl")
    assert wheel.name == f"wide_and_deep_trainer-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name for name in names if ".dist-info/" not in name} == sources(checkout)


def test_dependencies_of_the_package_leave_tensorflow_alone(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    needed = metadata.get_all("Requires-Dist")
    always = [line for line in needed if "extra ==" not in line]
    assert any(line.startswith("pyarrow") for line in always)
    assert not [n for n in always if n.startswith(("tensorflow", "numpy", "protobuf"))]
    assert [line for line in needed if line.startswith("tensorflow") and "extra ==" in line]
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == ">=3.10"


def test_setup_py_alone_installs_as_autopackaging_does(tmp_path):
    # gcloud copies setup.py and runs `pip install .` before any source or pyproject.toml is there.
    shutil.copy(ROOT / "setup.py", tmp_path)
    target = tmp_path / "target"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet"),
            *("--no-deps", "--no-build-isolation", "--target", target, "."),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (metadata,) = target.glob("*.dist-info/METADATA")
    assert "Requires-Dist: pyarrow" in metadata.read_text()
    assert not list(target.glob("trainer"))


def test_a_rebuild_and_one_by_hand_have_the_same_content(sdist, checkout, tmp_path):
    rebuilt = package.build_package(tmp_path / "again")
    assert package.content_hash(rebuilt) == package.content_hash(sdist)
    # By hand in the checkout itself, beside tests and the remains of an older build.
    shutil.copytree(checkout, tmp_path / "checkout")
    (tmp_path / "checkout/build/lib/trainer").mkdir(parents=True)
    (tmp_path / "checkout/build/lib/trainer/stale.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--sdist", "."],
        cwd=tmp_path / "checkout",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (by_hand,) = (tmp_path / "checkout/dist").glob("*.tar.gz")
    assert members(by_hand) == members(sdist)
    assert package.content_hash(by_hand) == package.content_hash(sdist)


def test_building_leaves_the_checkout_as_it_is(checkout, tmp_path):
    before = sorted(checkout.rglob("*"))
    package.build_package(tmp_path)
    assert sorted(checkout.rglob("*")) == before
    assert [path.name for path in tmp_path.iterdir()] == [package.SDIST_NAME]


def test_hash_is_of_names_and_bytes_alone(tmp_path):
    files = {"a.py": b"1", "b/c.yaml": b"2"}
    plain = package.content_hash(write_sdist(tmp_path / "1.tar.gz", files))
    backwards = dict(reversed(files.items()))
    later = write_sdist(tmp_path / "2.tar.gz", backwards, top="other", mtime=10**9)
    assert package.content_hash(later) == plain
    for name, changed in {
        "bytes": {"a.py": b"1", "b/c.yaml": b"3"},
        "name": {"a.py": b"1", "b/d.yaml": b"2"},
        "fewer": {"a.py": b"1"},
        # The same characters, cut elsewhere.
        "cut": {"a.p": b"y1", "b/c.yaml": b"2"},
    }.items():
        path = write_sdist(tmp_path / f"{name}.tar.gz", changed)
        assert package.content_hash(path) != plain, name


@pytest.mark.parametrize("content", [b"", b"PK", gzip.compress(b"no archive", mtime=0), None])
def test_rubbish_is_no_sdist(tmp_path, content):
    path = tmp_path / "x.tar.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.tar\.gz is no readable sdist"):
        package.content_hash(path)


def test_a_cut_off_sdist_is_refused(sdist, tmp_path):
    (tmp_path / "x.tar.gz").write_bytes(sdist.read_bytes()[:5000])
    with pytest.raises(UserError, match="no readable sdist"):
        package.content_hash(tmp_path / "x.tar.gz")


def test_upload_happens_only_when_the_content_changed(emulator, tmp_path):
    destination = f"{emulator}/packages/{package.SDIST_NAME}"
    first = write_sdist(tmp_path / "1.tar.gz", {"a": b"1"})
    same = write_sdist(tmp_path / "2.tar.gz", {"a": b"1"}, mtime=10**9)
    other = write_sdist(tmp_path / "3.tar.gz", {"a": b"2"})

    assert package.upload_package(first, destination)
    assert not package.upload_package(same, destination)
    stored = cloud_files.find_blob(destination)
    assert stored.download_as_bytes() == first.read_bytes()
    assert package.upload_package(other, destination)
    assert cloud_files.find_blob(destination).download_as_bytes() == other.read_bytes()


def test_a_package_that_someone_else_put_there_is_replaced(emulator, sdist):
    destination = f"{emulator}/by_hand/{package.SDIST_NAME}"
    cloud_files.new_blob(destination).upload_from_string(b"anything")
    assert package.upload_package(sdist, destination)
    assert cloud_files.find_blob(destination).download_as_bytes() == sdist.read_bytes()


def test_upload_to_a_folder_follows_the_same_rule(tmp_path):
    first = write_sdist(tmp_path / "1.tar.gz", {"a": b"1"})
    other = write_sdist(tmp_path / "2.tar.gz", {"a": b"2"})
    destination = tmp_path / "packages" / "p.tar.gz"
    assert package.upload_package(first, str(destination))
    assert not package.upload_package(first, str(destination))
    assert package.upload_package(other, str(destination))
    assert destination.read_bytes() == other.read_bytes()


def test_an_absent_bucket_is_named(emulator, sdist):
    with pytest.raises(UserError, match=r"gs://nobucket/p\.tar\.gz: the bucket .* does not exist"):
        package.upload_package(sdist, "gs://nobucket/p.tar.gz")


def test_missing_credentials_say_what_to_do(sdist, monkeypatch):
    from google.auth.exceptions import DefaultCredentialsError

    def refuse():
        raise DefaultCredentialsError("none")

    monkeypatch.setattr(cloud_files, "client", refuse)
    with pytest.raises(UserError, match=r"cannot upload .* gcloud auth application-default login"):
        package.upload_package(sdist, "gs://bucket/p.tar.gz")


def test_other_errors_of_an_upload_keep_their_type(sdist, monkeypatch):
    monkeypatch.setattr(cloud_files, "client", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        package.upload_package(sdist, "gs://bucket/p.tar.gz")


def test_a_folder_is_no_destination(sdist):
    with pytest.raises(UserError, match=r"uploaded to a \.tar\.gz, e\.g\. gs://BUCKET/packages/"):
        package.upload_package(sdist, "gs://bucket/packages/")


def test_without_a_checkout_there_is_nothing_to_build(tmp_path, monkeypatch):
    monkeypatch.setattr(package, "SOURCE_DIR", tmp_path)
    with pytest.raises(UserError, match=r"has no setup\.py"):
        package.build_package(tmp_path / "out")


def test_without_build_the_extra_is_named(tmp_path):
    venv.create(tmp_path / "bare", with_pip=False)
    done = subprocess.run(
        [tmp_path / "bare/bin/python", "-m", "trainer.jobs.package"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'wide-and-deep-trainer[vertex]'" in done.stderr


def test_a_build_that_fails_says_why(tmp_path, monkeypatch):
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "trainer").mkdir()
    (tmp_path / "setup.py").write_text("raise ValueError('no luck today')\n")
    monkeypatch.setattr(package, "SOURCE_DIR", tmp_path)
    with pytest.raises(UserError, match=r"building the package failed: .*no luck today"):
        package.build_package(tmp_path / "out")


def test_command_prints_the_path_of_the_sdist(tmp_path, capsys):
    package.main([f"--out_dir={tmp_path}/dist"])
    assert Path(capsys.readouterr().out.strip()) == tmp_path / "dist" / package.SDIST_NAME
