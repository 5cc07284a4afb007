"""Imports TensorFlow in less than half the time. Imports the standard library only."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator

# TensorFlow and Keras try to import these for wrappers and data adapters that no run uses, and do
# without them where they are not installed. Vertex AI's containers have them.
_NOT_NEEDED = ("pandas", "scipy", "sklearn")


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Import without collecting garbage and without optional packages, inside a `with`.

    The 3,000 modules are 435,000 objects, and the collector goes through them again and again while
    they grow: 0.9 of 3.4 s. Afterwards they are put out of its sight, so that neither it nor the
    end of the process, 0.9 s, goes through them once more. The optional packages are 0.8 s where
    they are installed (2 CPU cores, TensorFlow 2.21, November 2026); they can be imported again
    afterwards.
    """
    held_back = [name for name in _NOT_NEEDED if name not in sys.modules]
    is_collecting = gc.isenabled()
    gc.disable()
    sys.modules.update(dict.fromkeys(held_back))  # type: ignore[arg-type]  # None: "not found"
    try:
        yield
    finally:
        for name in held_back:
            sys.modules.pop(name, None)
        gc.freeze()
        if is_collecting:
            gc.enable()
