import gc
import importlib
import subprocess
import sys

import pytest

from trainer.quick_imports import quick_imports


@pytest.fixture(autouse=True)
def thaw():
    """What a test put out of the collector's sight comes back."""
    yield
    gc.unfreeze()


@pytest.fixture
def without_packages(monkeypatch):
    """As in a process that has not imported the optional packages yet."""
    for name in ("pandas", "scipy", "sklearn"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_optional_packages_are_not_found_inside_and_are_again_afterwards(
    without_packages, tmp_path, monkeypatch
):
    (tmp_path / "sklearn.py").write_text("VALUE = 7\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    with quick_imports():
        with pytest.raises(ImportError, match="sklearn"):
            importlib.import_module("sklearn")
        with pytest.raises(ImportError, match="pandas"):
            importlib.import_module("pandas")

    assert importlib.import_module("sklearn").VALUE == 7


def test_package_that_was_imported_before_stays(without_packages, monkeypatch):
    imported = object()
    monkeypatch.setitem(sys.modules, "scipy", imported)

    with quick_imports():
        assert sys.modules["scipy"] is imported

    assert sys.modules["scipy"] is imported


@pytest.mark.parametrize("is_collecting", [True, False])
def test_collector_is_as_before_and_leaves_out_what_was_imported(is_collecting):
    frozen = gc.get_freeze_count()
    try:
        (gc.enable if is_collecting else gc.disable)()
        with quick_imports():
            made = [[] for _ in range(1000)]
            assert not gc.isenabled()
        assert gc.isenabled() == is_collecting
    finally:
        gc.enable()
    assert gc.get_freeze_count() >= frozen + len(made)


def test_failure_leaves_everything_as_it_was(without_packages):
    with pytest.raises(KeyboardInterrupt), quick_imports():
        raise KeyboardInterrupt

    assert gc.isenabled()
    assert "sklearn" not in sys.modules


def test_tensorflow_is_whole_without_the_optional_packages():
    code = (
        "import sys\n"
        "from trainer.quick_imports import quick_imports\n"
        "with quick_imports():\n"
        "    import keras, tensorflow as tf\n"
        "print(not {'pandas', 'scipy', 'sklearn'} & {m.split('.')[0] for m in sys.modules})\n"
        "print(float(keras.layers.Dense(1, kernel_initializer='ones')(tf.ones((1, 3)))[0, 0]))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert finished.stdout.split() == ["True", "3.0"], finished.stderr
