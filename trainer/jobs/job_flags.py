"""A job file with the user's own config and flags given to every pool that runs the trainer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import yaml

from trainer.errors import UserError
from trainer.jobs.job_file import JobFile
from trainer.jobs.job_yaml import load_job_yaml


def with_flags(job: JobFile, flags: Sequence[str]) -> JobFile:
    """The job with `flags` after those of the file: of a flag given twice the last one counts.

    Only `values` differ: `text`, and so the line of every key, stay those of the file.

    Raises:
        UserError: no pool runs the trainer.
    """
    if not flags:
        return job
    takers = [pool for pool in job.pools if pool.runs_trainer]
    if not takers:
        raise UserError(
            f"{job.path}: no pool runs `python -m trainer.task`, so none takes {flags[0]}"
        )
    values = _copy(job.values)
    pools = (values["trialJobSpec"] if job.kind == "tuning" else values)["workerPoolSpecs"]
    for taker in takers:
        pool = pools if isinstance(pools, dict) else pools[taker.index]
        task = pool.get("pythonPackageSpec") or pool["containerSpec"]
        task["args"] = [*taker.args, *flags]
    return replace(job, values=values)


def final_yaml(job: JobFile) -> str:
    """The job as YAML for gcloud: the file's own text, or written anew where flags were added."""
    if load_job_yaml(job.text, job.path) == job.values:
        return job.text if job.text.endswith("\n") else f"{job.text}\n"
    return yaml.dump(job.values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that gcloud would read as something else, and writes no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


# What YAML 1.1 takes for a boolean or a number and PyYAML does not.
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]$"), list("yYnN"))
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _copy(value: Any) -> Any:
    """A copy in which nothing is shared: two pools may be one by an anchor."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
