"""The folder of a run: what lies where, whether it may be used, and the marker of completion."""

from __future__ import annotations

import json
import zlib
from typing import Any

from trainer import storage
from trainer.checkpoint import CheckpointFolder
from trainer.config import Config
from trainer.errors import UserError, quoted
from trainer.export import discard_model
from trainer.observers import discard_logs

# Settings that may differ between the starts of one run: they do not change what is learned.
# data.storage and its budgets do: streamed rows come in another order.
_FREE_SETTINGS = (
    "output",
    "data.scratch_dir",
    "data.cache_dir",
    "evaluation.report",
    "training.checkpoint_steps",
    "training.checkpoint_seconds",
    "training.keep_checkpoints",
    "training.resume",
    "training.strategy",
    "training.communication",
    "training.logical_cpus",
    "training.peer_timeout_seconds",
    "training.profile_steps",
)


_FILES = (
    "config.yaml",
    "statistics.json",
    "metrics.jsonl",
    "report.html",
    "model_card.md",
    "tables",
    "report.json",
    "run.json",
)

Identity = dict[str, dict[str, Any]]


class RunFolder:
    """Paths of a run."""

    def __init__(self, config: Config):
        """Take the paths from `output`, whose job_dir the command line has resolved."""
        output = config.output
        if output.job_dir is None:
            raise UserError("output.job_dir is not set; give --job_dir DIRECTORY")
        self.job_dir = output.job_dir
        self.model_dir = output.model_dir or storage.join(self.job_dir, "model")
        self.checkpoint_dir = output.checkpoint_dir or storage.join(self.job_dir, "checkpoints")
        self.log_dir = output.log_dir or storage.join(self.job_dir, "logs")

    def path(self, name: str) -> str:
        """Path of a file of the run."""
        return storage.join(self.job_dir, name)

    def is_complete(self) -> bool:
        """Whether a run ended here with everything written."""
        return storage.exists(self.path("COMPLETE"))

    def read_report(self) -> dict[str, Any]:
        """The report of a complete run.

        Raises:
            UserError: it is damaged.
        """
        return self._read_json("report.json")

    def discard(self) -> None:
        """Remove what an earlier run left here; nothing else in its folders is touched."""
        # COMPLETE goes first: a run that is half discarded must not look complete. run.json goes
        # last: without it, checkpoints that are left would be taken for those of any run.
        storage.remove(self.path("COMPLETE"))
        CheckpointFolder(self.checkpoint_dir).discard()
        discard_logs(self.log_dir)
        discard_model(self.model_dir)
        for name in _FILES:
            storage.remove(self.path(name))

    def identify(self, config: Config, fingerprints: dict[str, str]) -> Identity:
        """What makes two starts the same run: the settings that matter, and the data files."""
        return {"settings": _flatten(config.model_dump(mode="json")), "files": fingerprints}

    @staticmethod
    def checksum(identity: Identity) -> int:
        """A number below 2**24, equal for equal identities."""
        return zlib.crc32(json.dumps(identity, sort_keys=True).encode()) >> 8

    def check(self, identity: Identity) -> None:
        """Refuse to go on with another run's work.

        Raises:
            UserError: the folder holds a run with another config, or a data file has changed, or
                what says so is damaged.
        """
        if not storage.exists(self.path("run.json")):
            return
        known = self._read_json("run.json")
        if not all(isinstance(known.get(part), dict) for part in ("settings", "files")):
            raise UserError(self._damaged("run.json", "it lacks settings or files"))
        for part, what in (("settings", "setting"), ("files", "data file")):
            for key in sorted({*known[part], *identity[part]}):
                before, now = known[part].get(key), identity[part].get(key)
                if before != now:
                    raise UserError(
                        f"{self.job_dir} holds a run with another {what}: {key} was "
                        f"{quoted(before)}, now {quoted(now)}; use another --job_dir, or discard "
                        "it with --resume=restart"
                    )

    def claim(self, identity: Identity) -> None:
        """Say whose folder this is, from the first step on; what a kill left half-written goes.

        Raises:
            UserError: one of the folders cannot be written; better now than after training.
        """
        # Not all of job_dir: an evaluator may be writing there.
        for path in (*map(self.path, _FILES), self.checkpoint_dir, self.model_dir):
            storage.remove_unfinished(path)
        for directory in (self.checkpoint_dir, self.model_dir):
            probe = storage.join(directory, ".writable")
            storage.write_text(probe, "")
            storage.remove(probe)
        storage.write_text(self.path("run.json"), json.dumps(identity, indent=1, sort_keys=True))

    def _read_json(self, name: str) -> dict[str, Any]:
        try:
            values = json.loads(storage.read_text(self.path(name)))
        except (ValueError, RecursionError) as error:
            raise UserError(self._damaged(name, str(error))) from error
        if not isinstance(values, dict):
            raise UserError(self._damaged(name, "it is no JSON object"))
        return values

    def _damaged(self, name: str, problem: str) -> str:
        return (
            f"{self.path(name)} is damaged ({problem}); put back the one that the run wrote, or "
            "discard the run with --resume=restart"
        )

    def complete(self, report: dict[str, Any]) -> None:
        """Write the report and, last of all, the marker."""
        storage.write_text(self.path("report.json"), json.dumps(report, indent=1))
        storage.write_text(self.path("COMPLETE"), "")


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key, without those that may differ.

    >>> _flatten({"data": {"train": ["a"], "scratch_dir": "tmp"}, "output": {}})
    {'data.train': ['a']}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{prefix}{name}"
        if key in _FREE_SETTINGS:
            continue
        if isinstance(value, dict):
            flat |= _flatten(value, f"{key}.")
        else:
            flat[key] = value
    return flat
