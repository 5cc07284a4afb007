"""What a benchmark tells: lines as it goes, the table of bars, benchmark.json and plots."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import benchmark_bars
import benchmark_plots
from benchmark_measure import Figure

PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "pyarrow", "matplotlib")
PEER_PACKAGES = ("deepctr", "keras", "lightgbm", "numpy", "pytorch-widedeep", "tensorflow", "torch")
# Names as arguments; prints the versions of those that are installed.
_VERSIONS_SOURCE = """
import importlib.metadata, json, sys
found = {d.name.replace("_", "-"): d.version for d in importlib.metadata.distributions()}
print(json.dumps({name: found[name] for name in sys.argv[1:] if name in found}))
"""


class Report:
    """The figures of a folder's benchmark, those of earlier runs in the same folder included."""

    def __init__(self, folder: Path, peer_python: str = sys.executable):
        """Take up what `folder` has; the peers run under `peer_python`."""
        self._versions = _versions(sys.executable, PACKAGES)
        self._peer_versions = _versions(peer_python, PEER_PACKAGES)
        self._folder, self._path = folder, folder / "benchmark.json"
        self.figures: dict[str, Figure] = {}
        self._sections: dict[str, dict[str, Any]] = {}
        if self._path.exists():
            found = json.loads(self._path.read_text())
            self._sections = found["sections"]
            self.figures = {f["key"]: _read_figure(f) for f in found["figures"]}

    def begin(self, section: str) -> None:
        """A section starts: its older figures are forgotten."""
        for key in self._sections.get(section, {}).get("figures", ()):
            self.figures.pop(key, None)
        self._sections[section] = {
            "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "commit": _commit(),
            "load_average": os.getloadavg()[0],
            "figures": [],
        }
        self._section = section
        print(f"\n{section}  (load average {os.getloadavg()[0]:.2f})", flush=True)

    def add(self, figure: Figure) -> None:
        """A figure of the section."""
        self.figures[figure.key] = figure
        self._sections[self._section]["figures"].append(figure.key)
        print(f"  {figure.line()}", flush=True)

    def end(self, seconds: float) -> None:
        """The section took so long; what is known is written, lest a later one lose it."""
        self._sections[self._section]["seconds"] = round(seconds, 1)
        print(f"  {seconds:.0f} s", flush=True)
        self._write()

    def finish(self) -> None:
        """Print the bars, and where everything is."""
        print()
        for verdict in benchmark_bars.verdicts(self.figures):
            print(verdict.line())
        if disturbed := [f.key for f in self.figures.values() if f.is_disturbed]:
            print(f"\nOthers used the machine during: {', '.join(disturbed)}")
        self._write()
        print(f"\n{self._path}")
        try:
            for path in benchmark_plots.draw(self.figures, self._folder):
                print(path)
        except ImportError as error:
            print(f"no plots: {error}; pip install matplotlib")

    def _write(self) -> None:
        bars = [
            {
                "bar": v.bar.name,
                "value": v.value,
                "relation": v.bar.relation,
                "target": v.bar.target,
                "unit": v.bar.unit,
                "met": v.is_met,
            }
            for v in benchmark_bars.verdicts(self.figures)
        ]
        content = {
            "machine": _machine(),
            "versions": self._versions,
            "versions_of_peers": self._peer_versions,
            "sections": self._sections,
            "bars": bars,
            "figures": [_figure_values(f) for f in self.figures.values()],
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(content, indent=1) + "\n")


def _figure_values(figure: Figure) -> dict[str, Any]:
    return {
        "key": figure.key,
        "unit": figure.unit,
        "median": figure.median,
        "rounds": figure.rounds,
        "load_average": figure.load,
        "cores_of_others": figure.others,
        "disturbed": figure.is_disturbed,
    }


def _read_figure(values: dict[str, Any]) -> Figure:
    return Figure(
        values["key"],
        values["unit"],
        tuple(values["rounds"]),
        tuple(values["load_average"]),
        tuple(values["cores_of_others"]),
    )


def _machine() -> dict[str, Any]:
    names = [
        line.partition(":")[2].strip()
        for line in _lines("/proc/cpuinfo")
        if line.startswith("model name")
    ]
    memory = [line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory[0]) / 1024**2, 1) if memory else None,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if os.path.exists(path) else []


def _versions(python: str, names: Sequence[str]) -> dict[str, str]:
    done = subprocess.run(
        [python, "-c", _VERSIONS_SOURCE, *names], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def _commit() -> str:
    """Of the checkout, with + where files differ from it; empty outside git."""
    done = subprocess.run(
        ["git", "-C", Path(__file__).parent, "describe", "--always", "--dirty=+"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()
