"""scripts/benchmark.py and its modules: medians, bars, tables, equal columns, and one short run."""

import doctest
import json
import math
import os
import subprocess
import sys
from datetime import datetime

import numpy as np
import pyarrow.parquet as pq
import pytest
from runs import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
sys.path.insert(0, str(ROOT / "scripts" / "benchmark_peers"))

import benchmark_bars as bars
import benchmark_measure as measure
import benchmark_plots as plots
import benchmark_report as reports
import benchmark_tables as tables
import columns
from benchmark_contenders import Contender
from benchmark_measure import Figure, Recorder, Watch, paired_ratio

from trainer.config import parse_config
from trainer.input_columns import read_columns
from trainer.schema import crossable_names


def figure(key, *rounds, **facts):
    return Figure(key, "rows/s", rounds, **facts)


def figures(**medians):
    return {key: figure(key, value) for key, value in medians.items()}


# Medians and ratios.


def test_ratio_is_taken_within_the_rounds():
    # The machine halved its speed after the first round: the ratio of medians would be 4.
    ours, peer = figure("a", 100.0, 40.0, 40.0), figure("b", 20.0, 10.0, 10.0)

    assert paired_ratio(ours, peer) == 4.0
    assert paired_ratio(figure("a", 90.0, 40.0, 10.0), figure("b", 30.0, 10.0, 1.0)) == 4.0


def test_ratio_of_figures_that_were_not_alternated_is_that_of_the_medians():
    assert paired_ratio(figure("a", 1.0, 9.0, 6.0), figure("b", 2.0)) == 3.0


def test_rounds_alternate_and_turn_around():
    calls, told = [], []

    def work(name):
        calls.append(name)
        return float(len(calls))

    Recorder(told.append, rounds=2).alternate(
        "s", {name: lambda name=name: work(name) for name in "ab"}
    )

    assert calls == ["a", "b", "b", "a"]
    assert [(f.key, f.rounds) for f in told] == [("a", (1.0, 4.0)), ("b", (2.0, 3.0))]
    assert all(len(f.load) == len(f.others) == 2 for f in told)


def test_rate_is_the_number_of_things_by_the_seconds():
    told = []
    Recorder(told.append, rounds=1).rates("rows/s", {"a": lambda: sum(1 for _ in range(10**5))})

    assert 1e5 < told[0].median < 1e9


def test_machine_is_disturbed_where_others_take_more_than_a_tenth_of_a_core():
    assert figure("a", 1.0, 1.0, 1.0, others=(0.0, 0.2, 0.3)).is_disturbed
    assert not figure("a", 1.0, 1.0, 1.0, others=(0.0, 0.05, 0.9)).is_disturbed
    assert not figure("a", 1.0).is_disturbed


def test_own_children_are_not_others():
    busy = "import time\nend = time.time() + 0.4\nwhile time.time() < end: pass"
    watch = Watch()
    subprocess.run([sys.executable, "-c", busy], check=True)
    own = watch.others()
    watch = Watch()
    # Its parent is gone, so it is below nothing of ours.
    subprocess.run(["bash", "-c", f"setsid {sys.executable} -c '{busy}' & sleep 0.5"], check=True)

    # Other processes may run too, but no more than the cores that are left.
    assert own <= os.cpu_count() - 0.5
    assert watch.others() > 0


def test_examples_in_the_docstrings_hold():
    assert doctest.testmod(measure).failed == doctest.testmod(bars).failed == 0


# Bars.


def test_joint_limit_is_the_time_of_both_in_turns():
    # A second reads 2 of 6 rows and trains the other way: 1/6 s + 1/3 s for each row.
    assert bars.joint_limit(6.0, 3.0) == pytest.approx(1 / (1 / 6 + 1 / 3))


def verdict_of(name, **medians):
    (verdict,) = [v for v in bars.verdicts(medians) if v.bar.name == name]
    return verdict


def test_bar_is_met_missed_or_not_measured():
    name = "CSV to trained, batch 1024: plain Keras"
    keys = "csv/ours", "csv/plain Keras"

    def verdict(ours, peer):
        return verdict_of(
            name, **{k: figure(k, v) for k, v in zip(keys, (ours, peer), strict=True)}
        )

    assert (verdict(250.0, 10.0).value, verdict(250.0, 10.0).is_met) == (25.0, True)
    assert verdict(249.0, 10.0).is_met is False
    assert verdict_of(name).is_met is None
    assert verdict(249.0, 10.0).line().split() == [
        *name.split(), "24.9", "at", "least", "25", "times", "MISSED"
    ]  # fmt: skip


def test_large_table_is_held_against_the_small_one():
    values = {"table/adam 50000/train": 130.0, "table/adam 5000000/train": 100.0}

    verdict = verdict_of(
        "a step with 5,000,000 ids against 50,000, adam",
        **{key: figure(key, value) for key, value in values.items()},
    )

    assert (verdict.value, verdict.is_met) == (1.3, True)


def test_stream_is_held_against_what_reading_and_products_allow():
    values = {
        "read/course csv/arrow": 6e6,
        "step/course 4096/gemm": 3e6,
        "csv/ours, batch 4096": 1e6,
    }

    verdict = verdict_of(
        "CSV to trained, batch 4096: of the joint limit of reading and products",
        **{key: figure(key, value) for key, value in values.items()},
    )

    assert verdict.value == pytest.approx(0.5)
    assert verdict.is_met is False


def test_memory_is_the_largest_run_against_the_smallest():
    values = {"memory/disk 1000": 100.0, "memory/disk 16000": 105.0, "memory/disk 4000": 300.0}

    verdict = verdict_of(
        "peak memory, 16 times the rows, disk",
        **{key: figure(key, value) for key, value in values.items()},
    )

    assert (verdict.value, verdict.is_met) == (1.05, True)


# Tables.


def test_prepared_ids_are_those_of_each_ride():
    rides = tables.rides(500)
    prepared = tables.prepared(rides)

    for row in range(0, 500, 37):
        ride = {name: rides[name][row].as_py() for name in columns.FIELDS}
        when = datetime.strptime(ride[columns.DATE], "%Y-%m-%d %H:%M:%S UTC")
        cells = [
            sum(edge <= ride[name] for edge in columns.EDGES[name]) for name in columns.COORDINATES
        ]
        expected = {
            "year": when.year - 2009,
            "month": when.month - 1,
            "day_of_week": when.weekday(),
            "hour": when.hour,
            "day_of_week_x_hour": when.weekday() * 24 + when.hour,
            "pickup_cell": cells[0] * 11 + cells[1],
            "dropoff_cell": cells[2] * 11 + cells[3],
            "trip_cells": ((cells[0] * 11 + cells[1]) * 11 + cells[2]) * 11 + cells[3],
        }
        assert {name: int(prepared[name][row]) for name in columns.PREPARED_IDS} == expected
        assert prepared["label"][row] == np.float32(ride["fare_amount"])


def test_ids_stay_within_their_sizes_and_use_them():
    prepared = tables.prepared(tables.rides(20_000))

    for name, size in columns.PREPARED_IDS.items():
        assert prepared[name].min() >= 0
        assert prepared[name].max() < size
    assert len(np.unique(prepared["pickup_cell"])) > 20


def test_large_ids_replace_the_largest_space():
    table = tables.with_large_ids(tables.prepared(tables.rides(2_000)), 5_000_000)

    assert 4_000_000 < table["trip_cells"].max() < 5_000_000
    assert table["hour"].max() == 23


def test_categories_are_skewed_and_have_gaps():
    table = tables.categories(20_000)

    assert table.num_columns == 1 + 13 + 26
    assert (tables.VOCABULARIES[0], tables.VOCABULARIES[-1]) == (10, 300_000)
    counts = sorted(
        (v["counts"] for v in table["category_0"].value_counts().to_pylist()), reverse=True
    )
    assert len(counts) == 10
    # Rank r of V lies between log(r) and log(r + 1) of log(V + 1), r from 1.
    assert counts[0] / 20_000 == pytest.approx(math.log(2) / math.log(11), abs=0.02)
    assert counts[1] / 20_000 == pytest.approx(math.log(3 / 2) / math.log(11), abs=0.02)
    assert table["category_3"].null_count / 20_000 == pytest.approx(0.15, abs=0.02)
    assert table["integer_2"].null_count / 20_000 == pytest.approx(0.2, abs=0.02)
    assert table.equals(tables.categories(20_000))


def test_last_sixteenth_is_held_out(tmp_path):
    prepared = tables.prepared(tables.rides(1_600))
    tables.write_prepared(prepared, tmp_path, "p")

    arrays = np.load(tmp_path / "p.npz")
    assert pq.read_table(tmp_path / "p.parquet").num_rows == len(arrays["hour"]) == 1_500
    held_out = pq.read_table(tmp_path / "p-validation.parquet")
    assert held_out["hour"].to_pylist() == arrays["validation/hour"].tolist()
    assert arrays["validation/hour"].tolist() == prepared["hour"][1_500:].tolist()


# Columns of the contenders.


def test_the_trainer_reads_the_columns_that_the_peers_read():
    config = parse_config(columns.course_config(), "benchmark")

    assert {c.name for c in read_columns(config)} == {*columns.FIELDS} - {"key"}
    for cross, parts in zip(config.crosses, columns.CROSSES.values(), strict=True):
        assert set(cross.columns) <= set(crossable_names(config))
        assert [name.split(".")[-1] for name in cross.columns] == list(parts)
        # Exact: every combination has an id of its own, one more for what is missing.
        assert cross.bins == math.prod(columns.COURSE_SIZES[part] + 1 for part in parts)
    assert config.model.hidden_units == columns.HIDDEN_UNITS
    assert config.model.dropout == config.model.input_dropout == 0


def test_the_trainer_has_the_ids_and_numbers_that_the_peers_are_given():
    config = parse_config(columns.prepared_config(), "benchmark")
    kinds = {name: column.kind for name, column in config.columns.items()}

    assert {n for n, kind in kinds.items() if kind == "identity"} == set(columns.PREPARED_IDS)
    assert {n for n, kind in kinds.items() if kind == "numeric"} == set(columns.PREPARED_NUMBERS)
    assert {n: config.columns[n].size for n in columns.PREPARED_IDS} == columns.PREPARED_IDS


def test_features_of_the_keras_peers_are_those_of_the_prepared_table():
    import course_features
    import tensorflow as tf

    rides = tables.rides(300)
    raw = {name: tf.constant(rides[name].to_numpy(), tf.float32) for name in columns.NUMBERS}
    raw[columns.DATE] = tf.constant(rides[columns.DATE].to_pylist())

    ids, numbers = course_features.ids_and_numbers(raw)

    prepared = tables.prepared(rides)
    for name in set(columns.PREPARED_IDS) & set(ids):
        assert ids[name].numpy().tolist() == prepared[name].tolist()
    assert set(ids) == set(columns.COURSE_SIZES)
    assert set(numbers) == set(columns.SCALES)


# What is told.


def test_report_keeps_what_other_runs_measured_and_forgets_what_is_measured_again(tmp_path):
    first = reports.Report(tmp_path)
    for section in ("read", "step"):
        first.begin(section)
        first.add(figure(f"{section}/a", 1.0, 3.0, load=(0.5, 0.6), others=(0.0, 0.0)))
        first.end(1.0)

    second = reports.Report(tmp_path)
    second.begin("step")
    second.add(figure("step/b", 7.0))
    second.end(2.0)

    written = json.loads((tmp_path / "benchmark.json").read_text())
    found = {f["key"]: f["median"] for f in written["figures"]}
    assert found == {"read/a": 2.0, "step/b": 7.0}
    assert written["sections"]["step"]["seconds"] == 2.0
    assert reports.Report(tmp_path).figures["read/a"] == first.figures["read/a"]


def test_series_of_a_plot_are_sorted_medians():
    found = plots.series(
        {
            "table/adam 5000/train": figure("", 1.0, 3.0, 2.0),
            "table/adam 50/train": figure("", 5.0),
            "table/adam 50/other": figure("", 6.0),
        },
        r"table/(?P<line>\w+) (?P<x>\d+)/train",
    )

    assert found == {"adam": [(50.0, 5.0), (5000.0, 2.0)]}


# Contenders.

TICKING = """
import sys, time
sys.path.insert(0, {peers!r})
from pacer import Pacer
pacer = Pacer()
print("what a library says must not disturb")
while True:
    time.sleep(0.01)
    pacer.tick(100)
"""


def contender(tmp_path, source, **options):
    path = tmp_path / "contender.py"
    path.write_text(source)
    return Contender("one", [sys.executable, path], tmp_path / "log", **options)


def test_contender_counts_whole_quanta_after_its_warm_up(tmp_path):
    source = TICKING.format(peers=str(ROOT / "scripts" / "benchmark_peers"))
    with contender(tmp_path, source, warm_up=500, quantum=300) as one:
        one.wait_until_ready()
        rates = [one.rate(0.05), one.rate(0.05)]

    # A tick of 100 takes 10 ms and a little more; a loaded machine makes it slower only.
    assert all(100 < rate <= 100 / 0.01 for rate in rates)
    assert (tmp_path / "log").read_text() == "what a library says must not disturb\n"


def test_round_is_a_multiple_of_the_quantum_and_begins_after_the_warm_up():
    source = (
        "import io, sys; sys.path.insert(0, 'scripts/benchmark_peers'); import pacer\n"
        "clock = iter(range(100)); pacer.time.perf_counter = lambda: next(clock)\n"
        "p = pacer.Pacer()\n"
        "while True: p.tick(100)\n"
    )
    asked = '{"warm_up": 250, "seconds": 4, "quantum": 300}\n'
    done = subprocess.run(
        [sys.executable, "-c", source], input=asked, capture_output=True, text=True, cwd=ROOT
    )

    # Ticks come each second. The third ends the warm-up; 4 s are over after four more, whose 400
    # examples are no multiple of 300: six are.
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"ready": True},
        {"examples": 600, "seconds": 6},
    ]


def test_contender_that_fails_is_told_with_its_error(tmp_path):
    said = "one ended with 1: ModuleNotFoundError: No module"
    with (
        contender(tmp_path, "import nothing_of_this_name") as one,
        pytest.raises(RuntimeError, match=said),
    ):
        one.wait_until_ready()


def benchmark(*flags):
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "benchmark.py", *flags],
        capture_output=True,
        text=True,
        check=False,
    )


def test_unknown_section_is_refused(tmp_path):
    done = benchmark("--only=read,nothing", f"--output={tmp_path}")

    assert done.returncode == 2
    assert "--only: no section nothing; valid: machine, read, step" in done.stderr


@pytest.mark.slow
def test_short_run_measures_writes_and_judges(tmp_path):
    sections = "read,csv,startup"
    done = benchmark("--quick", "--without_peers", f"--only={sections}", f"--output={tmp_path}")

    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "benchmark.json").read_text())
    assert list(written["sections"]) == sections.split(",")
    found = {f["key"]: f["median"] for f in written["figures"]}
    assert all(value > 0 for value in found.values())
    assert found["read/categories csv/encoded"] < found["read/categories csv/arrow"]
    bar = {b["bar"]: b for b in written["bars"]}["--help"]
    assert bar["value"] == found["startup/help"]
    assert bar["met"] == (bar["value"] <= 0.15)
    assert "process start to first step against importing TensorFlow" in done.stdout
