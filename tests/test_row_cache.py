"""trainer.row_cache: a run with a cache, full or empty, is bit for bit the run without one."""

import itertools
import json
import logging
import os
import resource
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tiny_table import cut, statistics_of

from trainer import blocks, data_files, model, row_cache
from trainer.config import Config, parse_config
from trainer.data_config import DataConfig
from trainer.reader import BadRows
from trainer.row_cache import LEFT_OUT, RowCache, entry_key, place_of
from trainer.row_stores import MEGABYTE, BlockStore, Budget, StreamStore, store_rows

RUNS = itertools.count()
VERSION = "2.21.0"


def write_table(path, num_rows, seed, bad_rows=0):
    """y is 2 * x where the colour is red, else x; `bad_rows` rows have no number there."""
    rng = np.random.default_rng(seed)
    lines = ["x,color,when,y"]
    for i in range(num_rows):
        x, color = rng.normal(), ["red", "green", "blue"][rng.integers(3)]
        y = x * (2 if color == "red" else 1) + 0.1 * rng.normal()
        day = f"2026-0{rng.integers(1, 10)}-1{rng.integers(10)} 0{rng.integers(10)}:00:00"
        lines.append(f"{'' if i % 9 == 4 else round(x, 3)},{color},{day},{y:.4f}")
    lines += ["1,red,2026-01-01 00:00:00,dear"] * bad_rows
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path):
    write_table(tmp_path / "train.csv", 300, seed=1)
    write_table(tmp_path / "validation.csv", 90, seed=2)
    return tmp_path


def make_config(folder, **sections):
    values = {
        "columns": {
            "x": {"kind": "numeric", "buckets": 8},
            "color": {"kind": "categorical", "min_frequency": 1},
            "when": "datetime",
        },
        "crosses": [{"columns": ["color", "when.hour"], "bins": 20}],
        "label": {"column": "y", "task": "regression"},
        "data": {
            "train": f"{folder}/train.csv",
            "validation": f"{folder}/validation.csv",
            "cache_dir": f"{folder}/cache",
        },
        "model": {"hidden_units": [6]},
        "training": {"epochs": 2, "batch_size": 32},
        "evaluation": {"baseline": "constant", "report": "none"},
        "output": {"job_dir": f"{folder}/run{next(RUNS)}"},
    }
    for name, section in sections.items():
        is_layer = name not in ("columns", "label", "crosses")
        values[name] = values.get(name, {}) | section if is_layer else section
    return parse_config(values, "test")


def find(config):
    return data_files.find_files(config.data, "unused")


def key_of(config):
    return entry_key(config, find(config), VERSION)


def cache_of(config):
    return RowCache(config, find(config), VERSION)


def entries(folder):
    """Keys and how many writers' folders each has."""
    return {p.name: len([d for d in p.iterdir() if d.is_dir()]) for p in folder.iterdir()}


# ---- whole runs


@pytest.fixture
def passes(monkeypatch):
    """How often statistics were made and blocks encoded."""
    found = {"statistics": 0, "packed": 0}

    def counting(name):
        original = getattr(blocks.DataPart, name)

        def count(self, *args):
            found[name] += 1
            return original(self, *args)

        monkeypatch.setattr(blocks.DataPart, name, count)

    counting("statistics")
    counting("packed")
    return found


def train(config):
    """What a run learned, bit for bit: its evaluations, metrics, statistics and last weights."""
    report = model.train_and_evaluate(config)
    folder = Path(config.output.job_dir)
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    (index,) = folder.glob("checkpoints/*/*.index")
    reader = tf.train.load_checkpoint(str(index.with_suffix("")))
    weights = {
        name: reader.get_tensor(name).tobytes()
        for name, shape in sorted(reader.get_variable_to_shape_map().items())
        if shape
    }
    return {
        "records": [{k: v for k, v in record.items() if "seconds" not in k} for record in records],
        "metrics": report["metrics"],
        "storage": report["storage"],
        "statistics": (folder / "statistics.json").read_text(),
        "weights": weights,
    }


def build(config):
    """The rows of each part, by block, and the statistics."""
    datasets = model.build_datasets(config, find(config))
    return content(datasets.stores), datasets.statistics


def test_three_runs_are_one_without_cache_filling_it_and_using_it(folder, no_export, passes):
    """On disk; `test_other_trials_...` does the same in memory."""
    without = train(make_config(folder, data={"storage": "disk", "cache_dir": None}))
    assert (passes["statistics"], passes["packed"]) == (1, 2)
    filling = train(make_config(folder, data={"storage": "disk"}))
    assert (passes["statistics"], passes["packed"]) == (2, 4)
    using = train(make_config(folder, data={"storage": "disk"}))
    assert (passes["statistics"], passes["packed"]) == (2, 4)
    assert without["storage"] == {"train": "disk", "validation": "disk"}
    assert len(without["weights"]) > 5
    assert without == filling == using


def test_other_trials_of_a_study_share_the_entry_and_learn_what_they_would(
    folder, no_export, passes
):
    trial = {
        "model": {"hidden_units": [5, 3], "embedding_dim": 7, "dropout": 0.1, "towers": "both"},
        "optimizer": {"deep_learning_rate": 0.03, "wide_l1": 0.001},
        "training": {"batch_size": 16, "seed": 5, "epochs": 1},
    }
    without = train(make_config(folder, **trial, data={"cache_dir": None}))
    build(make_config(folder))
    assert passes["packed"] == 4
    assert train(make_config(folder, **trial)) == without
    assert passes["packed"] == 4
    assert without["storage"] == {"train": "memory", "validation": "memory"}
    assert list(entries(folder / "cache").values()) == [1]


def test_split_files_have_their_parts_cached(folder, passes):
    config = make_config(
        folder, data={"validation": [], "validation_fraction": 0.2, "test_fraction": 0.1}
    )
    first, second = build(config), build(config)
    assert (passes["statistics"], passes["packed"]) == (1, 3)
    assert first == second
    assert [(name, sum(map(len, found)) > 10) for name, found in second[0].items()] == [
        ("train", True),
        ("validation", True),
        ("test", True),
    ]


def test_the_served_model_is_checked_and_the_sample_is_known_in_another_folder(folder, passes):
    """Every run writes the embedded sample into a folder of its own."""
    names = ["fare", "when", "from_lon", "from_lat", "to_lon", "to_lat", "riders", "key"]
    sections = {
        "columns": {"from_lat": "numeric", "to_lat": "numeric"},
        "crosses": [],
        "label": {"column": "fare", "task": "regression"},
        "data": {"train": "sample:valid", "validation": "sample:test", "column_names": names},
        "training": {"epochs": None, "steps": 20, "batch_size": 32},
    }
    other = make_config(folder, **sections)
    datasets = model.build_datasets(other, data_files.find_files(other.data, f"{folder}/other"))
    report = model.train_and_evaluate(make_config(folder, **sections))
    assert entries(folder / "cache").popitem()[1] == 1
    assert passes["packed"] == 2
    assert report["rows"] == {"train": 5000, "validation": 5000}
    assert datasets.statistics.num_rows == 5000
    assert report["export_max_difference"] < 1e-5
    assert Path(report["model_dir"], "saved_model.pb").exists()


def test_bad_rows_are_told_of_again(folder, caplog):
    write_table(folder / "train.csv", 300, seed=1, bad_rows=2)
    config = make_config(folder, data={"max_bad_rows": 2})
    first = build(config)
    assert "2 bad rows are left out" in caplog.text
    caplog.clear()
    assert build(config) == first
    assert "2 bad rows were left out when the rows of the cache were encoded" in caplog.text
    assert "train.csv:302 label y: 'dear' is not a number" in caplog.text


def test_the_log_says_what_came_from_where(folder, caplog):
    write_table(folder / "train.csv", 3000, seed=1)
    caplog.set_level(logging.INFO, "trainer.row_cache")
    config = make_config(folder)
    entry = f"{folder}/cache/{entry_key(config, find(config), tf.__version__)}"
    build(config)
    megabytes = sum(path.stat().st_size for path in Path(entry).glob("*/*.rows")) / 2**20
    assert megabytes > 0.1
    assert caplog.messages == [
        f"cache: miss, {entry} is not there yet",
        f"cache: stored {megabytes:.1f} MB in {entry}",
    ]
    caplog.clear()
    build(config)
    assert caplog.messages == [f"cache: hit, {megabytes:.1f} MB from {entry}"]


# ---- the key


OTHER_DATA = {
    "train": "{}/validation.csv",
    "validation": "{}/train.csv",
    "test": "{}/validation.csv",
    "format": "csv",
    "column_names": ["x", "color", "when", "y"],
    "delimiter": ";",
    "decimal_point": ",",
    "null_values": [""],
    "split_column": "color",
    "validation_fraction": 0.1,
    "test_fraction": 0.1,
    "split_modulus": 10,
    "folds": 5,
    "fold": 2,
    "negative_keep": 0.5,
    "max_bad_rows": 1,
    "limit_rows": 5,
    "storage": "disk",
    "memory_budget_mb": 1,
    "disk_budget_mb": 1,
    "scratch_dir": "elsewhere",
    "cache_dir": "elsewhere",
    "shuffle_rows": 9,
    "statistics_path": "{}/validation.csv",
}
SPACE_AND_ORDER = {
    "storage",
    "memory_budget_mb",
    "disk_budget_mb",
    "scratch_dir",
    "cache_dir",
    "shuffle_rows",
}


@pytest.mark.parametrize("name", list(DataConfig.model_fields))
def test_every_data_setting_is_in_the_key_but_those_of_space_and_order(folder, name):
    value = OTHER_DATA[name]
    change = {name: value.format(folder) if isinstance(value, str) else value}
    # What the setting needs beside it is there before, too.
    base = {
        "decimal_point": {"delimiter": ";"},
        "split_column": {"test_fraction": 0.1},
        "validation_fraction": {"validation": []},
        "folds": {"validation": []},
        "fold": {"validation": [], "folds": 3},
    }
    task = "binary" if name == "negative_keep" else "regression"
    label = {"column": "y", "task": task}
    before = make_config(folder, label=label, data=base.get(name, {}))
    after = make_config(folder, label=label, data=base.get(name, {}) | change)
    assert before != after
    assert (key_of(before) == key_of(after)) == (name in SPACE_AND_ORDER)


def test_what_is_left_out_of_the_key_exists():
    for section, names in LEFT_OUT.items():
        fields = Config.model_fields[section].annotation.model_fields
        assert names is True or names <= set(fields)
    kept = set(Config.model_fields) - {s for s, names in LEFT_OUT.items() if names is True}
    assert kept == {"columns", "crosses", "label", "data"}


@pytest.mark.parametrize(
    "sections",
    [
        {"model": {"hidden_units": [9, 9], "embedding_dim": 3, "towers": "deep"}},
        {"optimizer": {"deep_learning_rate": 0.5, "wide_optimizer": "adagrad"}},
        {"training": {"batch_size": 7, "epochs": 1.5, "seed": 8, "precision": "bfloat16"}},
        {"evaluation": {"eval_rows": 5}, "export": {"parity_rows": 3}},
        {"tuning": {"metric_tag": "loss"}, "output": {"job_dir": "elsewhere"}},
    ],
)
def test_how_it_is_learned_is_not_in_the_key(folder, sections):
    assert key_of(make_config(folder, **sections)) == key_of(make_config(folder))


@pytest.mark.parametrize(
    "sections",
    [
        {"columns": {"x": "numeric", "color": "categorical", "when": "datetime"}},
        {"crosses": []},
        {"crosses": [{"columns": ["color", "when.hour"], "bins": 21}]},
        {"label": {"column": "y", "task": "binary"}},
        {"label": {"column": "y", "task": "regression", "transform": "log1p"}},
        {"model": {"loss": "poisson"}},
    ],
)
def test_the_schema_is_in_the_key(folder, sections):
    assert key_of(make_config(folder, **sections)) != key_of(make_config(folder))


def test_the_order_of_the_columns_is_in_the_key(folder):
    names = ["x", "color"]
    kinds = {"x": "numeric", "color": "categorical"}
    one, two = (
        make_config(folder, columns={n: kinds[n] for n in order}, crosses=[])
        for order in (names, names[::-1])
    )
    assert key_of(one) != key_of(two)


def test_the_data_is_in_the_key(folder):
    config = make_config(folder)
    before = key_of(config)
    assert key_of(config) == before
    path = folder / "train.csv"
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert key_of(config) != before
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert key_of(config) == before
    path.write_text(path.read_text() + "1,red,2026-01-01 00:00:00,2\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert key_of(config) != before


def test_the_number_of_files_and_their_parts_are_in_the_key(folder):
    config = make_config(folder)
    train_csv, validation_csv = f"{folder}/train.csv", f"{folder}/validation.csv"
    keys = {
        entry_key(config, files, VERSION)
        for files in (
            {"train": (train_csv, validation_csv)},
            {"train": (validation_csv, train_csv)},
            {"train": (train_csv,), "validation": (validation_csv,)},
            {"train": (train_csv,), "test": (validation_csv,)},
        )
    }
    assert len(keys) == 4


@pytest.mark.parametrize("name", ["vocabulary", "statistics"])
def test_files_that_decide_the_rows_are_in_the_key_by_content(folder, name):
    path = folder / f"{name}.txt"
    path.write_text("red\ngreen\n")
    color = {"kind": "categorical"}
    if name == "vocabulary":
        config = make_config(
            folder, columns={"color": color | {"vocabulary_file": str(path)}}, crosses=[]
        )
    else:
        config = make_config(folder, data={"statistics_path": str(path)})
    before = key_of(config)
    os.utime(path, (1, 1))
    assert key_of(config) == before
    path.write_text("green\nred\n")
    assert key_of(config) != before


def test_versions_and_code_are_in_the_key(folder, monkeypatch):
    config = make_config(folder)
    before = key_of(config)
    assert entry_key(config, find(config), "2.17.1") != before
    monkeypatch.setattr(row_cache, "_package_digest", lambda: "another")
    assert key_of(config) != before


def test_the_embedded_sample_is_known_by_its_content(folder):
    config = make_config(folder, data={"train": "sample:train", "validation": []})
    keys = []
    for name, content in (("a", "1"), ("b", "1"), ("c", "2")):
        (folder / name).mkdir()
        (folder / name / "train-0.csv").write_text(content)
        keys.append(entry_key(config, {"train": (f"{folder}/{name}/train-0.csv",)}, VERSION))
    assert keys[0] == keys[1] != keys[2]


# ---- entries: kept, refused, replaced


LENGTHS = {"train": [5, 0, 3], "validation": [2]}


def make_stores(seed=0):
    """Blocks of 6 words a row: 192 bytes of training rows, 48 of validation."""
    stores = {}
    for name, lengths in LENGTHS.items():
        words = np.random.default_rng(seed).integers(0, 99, (sum(lengths), 6)).astype(np.int32)
        stores[name] = BlockStore(cut(words, lengths), lengths, "memory")
    return stores


def content(stores):
    return {name: [block.tolist() for block in store.in_order()] for name, store in stores.items()}


STATISTICS = statistics_of([1.0, 2.0, 4.5])


def save(config, seed=0, bad_rows=()):
    """A run that finds no usable entry and makes one."""
    cache = cache_of(config)
    assert cache.load(Budget(1, 1, None)) is None
    cache.save(STATISTICS, make_stores(seed), bad_rows)


def load(config, memory_bytes=MEGABYTE, disk_bytes=MEGABYTE):
    budget = Budget(0, 0, config.data.scratch_dir)
    budget.memory_bytes, budget.disk_bytes = memory_bytes, disk_bytes
    cached = cache_of(config).load(budget)
    assert (budget.memory_bytes, budget.disk_bytes) == (memory_bytes, disk_bytes)
    return cached


def entry_of(config):
    return Path(config.data.cache_dir, key_of(config))


def writer_of(config):
    entry = entry_of(config)
    return entry / json.loads((entry / "manifest.json").read_text())["writer"]


def test_an_entry_has_the_statistics_and_the_blocks(folder):
    config = make_config(folder)
    save(config)
    cached = load(config)
    assert cached.statistics == STATISTICS
    assert content(cached.stores) == content(make_stores())
    names = sorted(path.name for path in writer_of(config).iterdir())
    assert names == ["statistics.json", "train.rows", "validation.rows"]
    assert (writer_of(config) / "train.rows").stat().st_size == 192


@pytest.mark.parametrize(
    ("memory_bytes", "disk_bytes", "kinds"),
    [
        (240, 0, ["memory", "memory"]),
        (239, 48, ["memory", "disk"]),
        (191, 240, ["disk", "memory"]),
        (47, 240, ["disk", "disk"]),
        (47, 239, None),
        (0, 0, None),
    ],
)
def test_rows_come_back_where_the_same_budgets_would_have_kept_them(
    folder, caplog, memory_bytes, disk_bytes, kinds
):
    config = make_config(folder)
    save(config)
    caplog.set_level(logging.INFO)
    cached = load(config, memory_bytes, disk_bytes)
    found = None if cached is None else [store.kind for store in cached.stores.values()]
    assert found == kinds
    assert ("is not used, for its rows exceed the budgets" in caplog.text) == (kinds is None)


@pytest.mark.parametrize("wanted", ["auto", "memory", "disk", "stream"])
@pytest.mark.parametrize("memory_bytes", [0, 159, 160])
@pytest.mark.parametrize("disk_bytes", [0, 159, 160])
def test_the_place_is_that_of_the_rows_without_cache(tmp_path, wanted, memory_bytes, disk_bytes):
    def read(units):
        yield from cut(np.zeros((10, 4), np.int32), [3, 7])

    budgets = [Budget(0, 0, str(tmp_path)) for _ in range(2)]
    for budget in budgets:
        budget.memory_bytes, budget.disk_bytes = memory_bytes, disk_bytes
    store = store_rows(read, 1, wanted, budgets[0])
    assert place_of(160, wanted, budgets[1]) == store.kind
    assert vars(budgets[0]) == vars(budgets[1])


def spoil_manifest(entry, writer):
    (entry / "manifest.json").write_text("{")


def spoil_statistics(entry, writer):
    (writer / "statistics.json").write_text("{}")


def spoil_rows(entry, writer):
    with open(writer / "validation.rows", "r+b") as file:
        file.seek(20)
        file.write(b"\xff")


def cut_rows(entry, writer):
    os.truncate(writer / "train.rows", 191)


def lose_rows(entry, writer):
    (writer / "train.rows").unlink()


def lose_writer(entry, writer):
    shutil.rmtree(writer)


@pytest.mark.parametrize(
    ("spoil", "message", "is_known"),
    [
        (spoil_manifest, "manifest.json: JSONDecodeError", False),
        (spoil_statistics, "statistics.json is not as it was written", True),
        (spoil_rows, "validation.rows is not as it was written", True),
        (cut_rows, "train.rows is not as it was written", True),
        (lose_rows, "No such file or directory", True),
        (lose_writer, "No such file or directory", True),
    ],
)
def test_a_damaged_entry_is_refused_and_replaced(folder, caplog, spoil, message, is_known):
    config = make_config(folder)
    save(config, seed=1)
    damaged = writer_of(config)
    spoil(entry_of(config), damaged)
    save(config, seed=2)
    (warning,) = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert f"cache: miss, {entry_of(config)} cannot be used: " in warning
    assert message in warning and warning.endswith("; the data is read instead")
    assert content(load(config).stores) == content(make_stores(seed=2))
    # What is known to be of no use is gone.
    assert damaged.exists() == (not is_known)


def test_files_without_a_manifest_are_no_entry(folder):
    config = make_config(folder)
    save(config, seed=1)
    (entry_of(config) / "manifest.json").unlink()
    save(config, seed=2)
    assert content(load(config).stores) == content(make_stores(seed=2))


def test_the_first_of_two_writers_wins_and_the_second_leaves_nothing(folder, caplog):
    caplog.set_level(logging.INFO)
    config = make_config(folder)
    first, second = cache_of(config), cache_of(config)
    assert first.load(Budget(1, 1, None)) is second.load(Budget(1, 1, None)) is None
    first.save(STATISTICS, make_stores(seed=1), [])
    second.save(STATISTICS, make_stores(seed=2), [])
    assert content(load(config).stores) == content(make_stores(seed=1))
    assert entries(folder / "cache") == {key_of(config): 1}
    assert f"another run has filled {entry_of(config)} meanwhile" in caplog.text


def test_writers_at_the_same_time_leave_an_entry_of_one_of_them(folder, monkeypatch):
    config = make_config(folder)
    barrier = threading.Barrier(6)
    original = RowCache._has_other_writer

    def all_at_once(self):
        barrier.wait(timeout=30)
        return original(self)

    caches = [cache_of(config) for _ in range(6)]
    for cache in caches:
        cache.load(Budget(1, 1, None))
    monkeypatch.setattr(RowCache, "_has_other_writer", all_at_once)
    threads = [
        threading.Thread(target=cache.save, args=(STATISTICS, make_stores(seed), []))
        for seed, cache in enumerate(caches)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.undo()
    assert content(load(config).stores) in [content(make_stores(seed)) for seed in range(6)]


def test_rows_of_a_file_that_changed_meanwhile_are_not_kept(folder, caplog):
    config = make_config(folder)
    cache = cache_of(config)
    cache.load(Budget(1, 1, None))
    (folder / "train.csv").write_text("x,color,when,y\n1,red,2026-01-01 00:00:00,2\n")
    cache.save(STATISTICS, make_stores(), [])
    assert "a file of the data changed meanwhile" in caplog.text
    assert not (folder / "cache").exists()


@contextmanager
def files_of_at_most(num_bytes):
    """No file of this process may be longer, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("num_bytes", [0, 100, 1000])
def test_a_full_disk_is_a_warning_and_leaves_no_entry(folder, caplog, num_bytes):
    """0 and 100 fail in statistics.json, 1000 in the rows."""
    config = make_config(folder)
    big = BlockStore([np.zeros((5000, 6), np.int32)], [5000], "memory")
    cache = cache_of(config)
    with files_of_at_most(num_bytes):
        cache.save(STATISTICS, {"train": big}, [])
    assert f"cache: nothing is kept in {entry_of(config)}: " in caplog.text
    assert "File too large" in caplog.text
    assert list(entry_of(config).iterdir()) == []
    assert load(config) is None


def test_a_cache_that_cannot_be_written_is_a_warning(folder, caplog):
    (folder / "file").write_text("")
    without = build(make_config(folder, data={"cache_dir": None}))
    assert build(make_config(folder, data={"cache_dir": f"{folder}/file"})) == without
    (warning,) = [r.message for r in caplog.records if r.name == "trainer.row_cache"]
    assert "cache: nothing is kept in" in warning
    assert "Not a directory" in warning


def test_bad_rows_are_kept_with_their_examples(folder, caplog):
    config = make_config(folder)
    bad, none = BadRows(9), BadRows(9)
    bad.count, bad.examples = 3, ["a.csv:2 short", "a.csv:4 short"]
    save(config, bad_rows=[none, bad])
    caplog.clear()
    load(config)
    assert caplog.messages == [
        "3 bad rows were left out when the rows of the cache were encoded: "
        "a.csv:2 short; a.csv:4 short"
    ]


# ---- where it has no effect


def test_streamed_rows_are_not_cached(folder, caplog):
    caplog.set_level(logging.INFO)
    config = make_config(folder, data={"storage": "stream"})
    save(config)
    assert "data.cache_dir is not used, for data.storage is stream" in caplog.text
    assert not (folder / "cache").exists()


def test_rows_that_came_to_be_streamed_are_not_cached(folder, caplog):
    caplog.set_level(logging.INFO)
    config = make_config(folder)
    stores = make_stores() | {"train": StreamStore(lambda units: iter(()), [[5]])}
    cache_of(config).save(STATISTICS, stores, [])
    assert "nothing is kept, for the train rows are streamed" in caplog.text
    assert not (folder / "cache").exists()


def test_without_a_folder_nothing_happens(folder, caplog):
    caplog.set_level(logging.INFO)
    config = make_config(folder, data={"cache_dir": None, "statistics_path": "not/there"})
    save(config)
    assert caplog.messages == []
    assert sorted(os.listdir(folder)) == ["train.csv", "validation.csv"]


# ---- Cloud Storage


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_an_entry_may_be_in_a_bucket(folder, emulator, kind):
    scratch = folder / "scratch"
    data = {"cache_dir": f"{emulator}/{kind}", "storage": kind, "scratch_dir": str(scratch)}
    config = make_config(folder, data=data)
    save(config)
    assert os.listdir(scratch) == []
    cached = load(config)
    assert os.listdir(scratch) == []
    assert cached.statistics == STATISTICS
    assert content(cached.stores) == content(make_stores())
    assert {store.kind for store in cached.stores.values()} == {kind}


def test_a_bucket_that_is_not_there_is_a_warning(folder, emulator, caplog):
    config = make_config(folder, data={"cache_dir": "gs://no-such-bucket/cache"})
    save(config)
    warnings = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert warnings and all("no-such-bucket" in warning for warning in warnings)
