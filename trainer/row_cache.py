"""Encoded rows and statistics that outlive their run: the trials of a study encode once in all.

    CACHE_DIR/<key>/manifest.json   written last; names the folder that holds
    CACHE_DIR/<key>/<writer>/       statistics.json, train.rows, validation.rows, test.rows

The key is a hash of everything that decides the rows. There are no locks: each writer has a folder
of its own, the manifest is replaced as a whole, and a writer that finds another's manifest drops
what it wrote. So an entry is never a mix, and who reads one is not disturbed.

A cache never stops a run: what is wrong with it is a warning, and the data is read instead. Nor
does it change what is learned: where rows would be streamed, in another order than stored ones, it
is not used. May not import TensorFlow.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import logging
import os
import tempfile
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from trainer import __version__, storage
from trainer.columns import VocabularyColumn
from trainer.config import Config
from trainer.data_files import SAMPLE_PREFIX, Part
from trainer.errors import UserError
from trainer.memory_tables import DataFile
from trainer.reader import BadRows, fingerprint_of
from trainer.row_files import Damaged, Manifest, open_rows, write_rows
from trainer.row_stores import BlockStore, Budget, RowStore
from trainer.statistics import TableStatistics

# Settings that do not decide the encoded rows, so that the trials of a study share them. Whatever
# is not named here changes the key, new settings included. Widths of embeddings are in `model`: a
# width shapes a table, not the ids that look it up.
LEFT_OUT: dict[str, Any] = {
    "model": True,
    "optimizer": True,
    "training": True,
    "evaluation": True,
    "export": True,
    "tuning": True,
    "output": True,
    "data": {
        "storage",
        "memory_budget_mb",
        "disk_budget_mb",
        "scratch_dir",
        "cache_dir",
        "shuffle_rows",
    },
}
FORMAT = 1

logger = logging.getLogger(__name__)


class Cached(NamedTuple):
    """What an entry holds."""

    statistics: TableStatistics
    stores: dict[Part, RowStore]


class RowCache:
    """The entry of a run in data.cache_dir; without one, `load` and `save` do nothing."""

    def __init__(
        self, config: Config, files: Mapping[Part, Sequence[DataFile]], tensorflow_version: str
    ):
        """Find out which entry it is; nothing of it is read yet.

        Args:
            config: the resolved config.
            files: of each part.
            tensorflow_version: of the kernels that encode.

        Raises:
            UserError: a data file, a vocabulary or data.statistics_path cannot be read.
        """
        self._data = config.data
        self._identify = functools.partial(entry_key, config, files, tensorflow_version)
        self._key = ""
        self._seen: str | None = None  # the manifest that `load` found
        if not config.data.cache_dir:
            return
        if config.data.storage == "stream":
            logger.info("cache: data.cache_dir is not used, for data.storage is stream")
            return
        self._key = self._identify()
        self._folder = storage.join(config.data.cache_dir, self._key)
        self._manifest_path = storage.join(self._folder, "manifest.json")

    def load(self, budget: Budget) -> Cached | None:
        """The entry, with its rows where `row_stores.store_rows` would keep them; None without one.

        Args:
            budget: of memory and disk; not changed.
        """
        if not self._key:
            return None
        try:
            self._seen = self._read_manifest()
            if self._seen is None:
                logger.info("cache: miss, %s is not there yet", self._folder)
                return None
            return self._open(Manifest.from_json(self._seen), copy.copy(budget))
        except (UserError, OSError, Damaged) as error:
            logger.warning(
                "cache: miss, %s cannot be used: %s; the data is read instead", self._folder, error
            )
            return None

    def save(
        self,
        statistics: TableStatistics,
        stores: Mapping[Part, RowStore],
        bad_rows: Sequence[BadRows],
    ) -> None:
        """Keep what was made from the data, for other runs.

        Args:
            statistics: of the training rows.
            stores: the encoded rows of each part.
            bad_rows: the accounts of the files, to be told again.
        """
        if not self._key:
            return
        streamed = [name for name, store in stores.items() if not isinstance(store, BlockStore)]
        if streamed:
            logger.info(
                "cache: nothing is kept, for the %s rows are streamed; raise data.disk_budget_mb",
                " and ".join(streamed),
            )
            return
        accounts = tuple((b.count, tuple(b.examples)) for b in bad_rows if b.count)
        try:
            self._write(statistics, stores, accounts)
        except (UserError, OSError) as error:
            logger.warning(
                "cache: nothing is kept in %s: %s; the run goes on without", self._folder, error
            )

    def _open(self, manifest: Manifest, budget: Budget) -> Cached | None:
        places = {
            name: place_of(rows.num_bytes, self._data.storage, budget)
            for name, rows in manifest.parts.items()
        }
        if "stream" in places.values():
            logger.info("cache: %s is not used, for its rows exceed the budgets", self._folder)
            return None
        with self._near(storage.join(self._folder, manifest.writer)) as folder:
            text = (folder / "statistics.json").read_bytes()
            if zlib.crc32(text) != manifest.statistics_crc32:
                raise Damaged("statistics.json is not as it was written")
            stores: dict[Part, RowStore] = {
                name: open_rows(folder / f"{name}.rows", rows, in_memory=places[name] == "memory")
                for name, rows in manifest.parts.items()
            }
        statistics = TableStatistics.from_json(text.decode())
        logger.info("cache: hit, %.1f MB from %s", manifest.megabytes, self._folder)
        for count, examples in manifest.bad_rows:
            logger.warning(
                "%d bad rows were left out when the rows of the cache were encoded: %s",
                count,
                "; ".join(examples),
            )
        return Cached(statistics, stores)

    def _write(
        self,
        statistics: TableStatistics,
        stores: Mapping[Part, RowStore],
        bad_rows: tuple[tuple[int, tuple[str, ...]], ...],
    ) -> None:
        if self._identify() != self._key:
            logger.warning("cache: a file of the data changed meanwhile, so nothing is kept")
            return
        if self._has_other_writer():
            return
        writer = uuid.uuid4().hex
        folder = storage.join(self._folder, writer)
        is_kept = False
        try:
            with self._workplace(folder) as local:
                text = statistics.to_json().encode()
                (local / "statistics.json").write_bytes(text)
                parts = {
                    name: write_rows(local / f"{name}.rows", store.in_order())
                    for name, store in stores.items()
                }
            manifest = Manifest(writer, zlib.crc32(text), parts, bad_rows)
            # Asked again: other trials wrote at the same time.
            if not self._has_other_writer():
                storage.write_text(self._manifest_path, manifest.to_json())
                is_kept = True
                self._remove_refused()
        finally:
            if not is_kept:
                storage.remove(folder)
        if is_kept:
            logger.info("cache: stored %.1f MB in %s", manifest.megabytes, self._folder)

    def _read_manifest(self) -> str | None:
        if not storage.exists(self._manifest_path):
            return None
        return storage.read_text(self._manifest_path)

    def _has_other_writer(self) -> bool:
        """Whether there is an entry that `load` did not see; one that it refused is replaced."""
        manifest = self._read_manifest()
        if manifest in (None, self._seen):
            return False
        logger.info("cache: another run has filled %s meanwhile", self._folder)
        return True

    def _remove_refused(self) -> None:
        """Delete the files of the entry that `load` refused, if it can be said which they are."""
        with suppress(Damaged):
            if self._seen is not None:
                refused = Manifest.from_json(self._seen)
                storage.remove(storage.join(self._folder, refused.writer))

    @contextmanager
    def _near(self, folder: str) -> Iterator[Path]:
        """The folder, or a scratch copy where it is not on this machine."""
        if not storage.is_remote(folder) and not os.path.abspath(folder).startswith("/gcs/"):
            yield Path(folder)
            return
        with self._scratch_folder() as scratch:
            storage.fetch_dir(folder, scratch)
            yield Path(scratch)

    @contextmanager
    def _workplace(self, folder: str) -> Iterator[Path]:
        """A local folder whose files are in `folder` afterwards."""
        if not storage.is_remote(folder):
            os.makedirs(folder)
            yield Path(folder)
            return
        with self._scratch_folder() as scratch:
            yield Path(scratch)
            storage.commit_dir(scratch, folder, last="statistics.json")

    def _scratch_folder(self) -> tempfile.TemporaryDirectory[str]:
        if self._data.scratch_dir is not None:
            os.makedirs(self._data.scratch_dir, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix="cache-", dir=self._data.scratch_dir)


def place_of(
    num_bytes: int, wanted: Literal["auto", "memory", "disk", "stream"], budget: Budget
) -> Literal["memory", "disk", "stream"]:
    """Where `row_stores.store_rows` keeps rows of so many bytes, which the budget then has less."""
    if wanted == "memory" or (wanted == "auto" and num_bytes <= budget.memory_bytes):
        budget.memory_bytes -= num_bytes
        return "memory"
    if wanted == "disk" or (wanted == "auto" and num_bytes <= budget.disk_bytes):
        budget.disk_bytes -= num_bytes
        return "disk"
    return "stream"


def entry_key(
    config: Config, files: Mapping[Part, Sequence[DataFile]], tensorflow_version: str
) -> str:
    """32 hexadecimal digits that change with whatever the encoded rows depend on.

    That is: the settings but `LEFT_OUT`, the data files by path and fingerprint, the content of
    vocabularies and of data.statistics_path, this package's code, and the libraries beneath.
    """
    vocabularies = [c.vocabulary_file for c in config.of_kind(VocabularyColumn).values()]
    ingredients = {
        # Unsorted: the order of the columns is that of the features.
        "settings": config.model_dump(mode="json", exclude=LEFT_OUT),
        # Counts below 0 are bad rows, which the loss decides.
        "is_count": config.model.loss == "poisson",
        "files": {name: _identities(config, name, paths) for name, paths in files.items()},
        "contents": [_digest(p) for p in (*vocabularies, config.data.statistics_path) if p],
        "package": _package_digest(),
        "versions": [FORMAT, tensorflow_version, np.__version__, pa.__version__],
    }
    return hashlib.sha256(json.dumps(ingredients).encode()).hexdigest()[:32]


def _identities(config: Config, part: Part, paths: Sequence[DataFile]) -> list[tuple[str, str]]:
    if all(pattern.startswith(SAMPLE_PREFIX) for pattern in getattr(config.data, part)):
        # Every run writes the embedded sample into a folder of its own.
        return [(os.path.basename(path), _digest(path)) for path in map(str, paths)]
    return [(str(path), fingerprint_of(path)) for path in paths]


def _digest(path: str) -> str:
    return hashlib.sha256(storage.read_bytes(path)).hexdigest()


@functools.cache
def _package_digest() -> str:
    """Version and code, because a cache outlives changes that leave the version as it is."""
    digest = hashlib.sha256(__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
