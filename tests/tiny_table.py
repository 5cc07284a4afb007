"""A table of five ids and three numbers, small enough to compute its model again in numpy."""

import numpy as np

from trainer.config import parse_config
from trainer.features import FeatureLayout, IdFeature, NumberFeature
from trainer.input import rows_of_calls
from trainer.network import WideAndDeep
from trainer.objective import Objective
from trainer.plan import Plan, make_plan
from trainer.program import Program
from trainer.row_stores import BlockStore
from trainer.rows import RowLayout, pack_rows
from trainer.statistics import StatisticsBuilder
from trainer.strategy import make_one_device

LAYOUT = FeatureLayout(
    ids=(
        IdFeature("color", 5, wide=True, embedding_dim=0),
        IdFeature("part", 4, wide=False, embedding_dim=3),
        IdFeature("shop", 7, wide=True, embedding_dim=2),
        IdFeature("size", 6, wide=False, embedding_dim=3),
        IdFeature("color_x_shop", 11, wide=True, embedding_dim=0),
    ),
    numbers=(
        NumberFeature("age", wide=True, deep=True, piecewise_edges=(-2.0, -0.5, 0.0, 1.0, 2.5)),
        NumberFeature("flag", wide=True, deep=False, piecewise_edges=()),
        NumberFeature("price", wide=False, deep=True, piecewise_edges=(-1.0, 1.0)),
    ),
)
ROWS = RowLayout(len(LAYOUT.ids), len(LAYOUT.numbers))
# Plain gradient descent, for steps that are computed again.
DESCENT = {
    "wide_optimizer": "sgd",
    "deep_optimizer": "sgd",
    "momentum": 0.0,
    "wide_learning_rate": 0.3,
    "deep_learning_rate": 0.1,
    "ema_decay": 0.0,
}
# Of a run for those that only look at it.
PLAN = Plan(
    batch_size=8,
    total_steps=100,
    seconds=None,
    eval_steps=50,
    num_evals=0,
    checkpoint_steps=0,
    steps_per_call=20,
    steps_per_epoch=40.0,
)


def make_config(task="regression", **sections):
    """A config with sections over small defaults; the columns stand for nothing."""
    values = {
        "columns": {"age": "numeric"},
        "label": {"column": "y", "task": task},
        "model": {"hidden_units": [6, 4], "dropout": 0.0, "input_dropout": 0.0},
        "training": {"batch_size": 8},
    }
    for name, section in sections.items():
        values[name] = values.get(name, {}) | section
    return parse_config(values, "test")


def make_features(num_rows, seed=0):
    """Ids (R, 5) int32 and numbers (R, 3) float32, some of them beyond the bounds."""
    rng = np.random.default_rng(seed)
    ids = np.stack([rng.integers(0, f.size, num_rows) for f in LAYOUT.ids], axis=1)
    numbers = rng.normal(0, 2, (num_rows, len(LAYOUT.numbers)))
    return ids.astype(np.int32), numbers.astype(np.float32)


def make_rows(num_rows, seed=0, task="regression"):
    """Packed rows whose label can be learned, of weights between 0.5 and 2."""
    ids, numbers = make_features(num_rows, seed)
    rng = np.random.default_rng(seed + 1)
    signal = numbers[:, 0] - (ids[:, 0] == 2) + 0.3 * rng.normal(size=num_rows)
    label = signal if task == "regression" else signal > 0
    weight = rng.uniform(0.5, 2, num_rows)
    return pack_rows(ids, numbers, label[:, None].astype(np.float32), weight.astype(np.float32))


def unpack(rows):
    """Ids, numbers, label and weight of packed rows, in float64."""
    floats = rows.view(np.float32).astype(np.float64)
    num_ids, num_numbers = len(LAYOUT.ids), len(LAYOUT.numbers)
    return rows[:, :num_ids], floats[:, num_ids : num_ids + num_numbers], *floats[:, -2:].T


def cut(rows, lengths):
    """Rows in blocks of these lengths."""
    return np.split(rows, np.cumsum(lengths)[:-1]) if lengths else []


def make_store(num_rows, seed=0, task="regression"):
    """Such rows in memory, in blocks of 16."""
    blocks = [min(16, num_rows - start) for start in range(0, num_rows, 16)]
    return BlockStore(cut(make_rows(num_rows, seed, task), blocks), blocks, "memory")


def statistics_of(label, weight=None):
    """The statistics of a table that has nothing but a label."""
    builder = StatisticsBuilder([], [], "label")
    ids = np.arange(len(label), dtype=np.uint64)
    builder.add({"label": np.asarray(label, np.float32)}, ids, weight)
    return builder.finalize()


def make_program(
    config,
    *,
    batch_size=8,
    total_steps=100,
    mean_weight=1.0,
    labels=(0.0, 1.0),
    longest_call=64,
    distribution=None,
    layout=LAYOUT,
    rows=ROWS,
):
    """The model of a layout with its compiled steps."""
    objective = Objective(config, statistics_of(labels))
    distribution = distribution or make_one_device()
    with distribution.strategy.scope():
        model = WideAndDeep(
            layout,
            config.model,
            batch_size=batch_size,
            offset=objective.offset,
            seed=config.training.seed,
            precision=config.training.precision,
        )
    return Program(
        distribution,
        model,
        objective,
        config,
        layout=rows,
        batch_size=batch_size,
        total_steps=total_steps,
        mean_weight=mean_weight,
        longest_call=longest_call,
    )


def plan_for(config, store, num_validation_rows=0):
    """The plan of a run over a store."""
    return make_plan(config.training, store.num_rows, num_validation_rows)


def training_rows(config, store, plan, first_step=0):
    """The calls of a run on one device from a step on."""
    device = make_one_device()
    return rows_of_calls(
        store, ROWS, config=config, plan=plan, distribution=device, first_step=first_step
    )
