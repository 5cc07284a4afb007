"""`scripts/ablate.py`: what each piece of the recipe brings, on the user's own rows.

Each line of the table is the recipe with one piece taken out or put in, trained with the same seeds
and compared with the recipe row by row.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from trainer import storage
from trainer.columns import Geo, Numeric
from trainer.compare.comparison import describe_difference, load, parse
from trainer.compare.contenders import (
    below,
    differences,
    in_folder,
    measure,
    open_rows,
    train_model,
)
from trainer.compare.intervals import mean_metrics
from trainer.config import Config
from trainer.errors import UserError, nearest


class Piece(NamedTuple):
    """A change of the recipe; `change` gives the changed config."""

    description: str
    change: Callable[[Config], Config]


def _numbers(**options: Any) -> Callable[[Config], Config]:
    """The config with these options in every numeric and geo column."""

    def change(config: Config) -> Config:
        columns = dict(config.columns)
        for name, column in columns.items():
            if isinstance(column, Numeric):
                columns[name] = column.model_copy(update=options)
            elif isinstance(column, Geo):
                numeric = column.numeric.model_copy(update=options)
                columns[name] = column.model_copy(update={"numeric": numeric})
        return config.model_copy(update={"columns": columns})

    return change


def _section(section: str, **options: Any) -> Callable[[Config], Config]:
    """The config with these settings in one section."""
    return lambda config: config.model_copy(
        update={section: getattr(config, section).model_copy(update=options)}
    )


PIECES: dict[str, Piece] = {
    "plain_edges": Piece("buckets at quantiles of the rows only", _numbers(distinct_edges=False)),
    "no_piecewise": Piece(
        "numbers without piecewise-linear encoding", _numbers(piecewise_linear=0)
    ),
    "no_bucket_embedding": Piece("no embedding of buckets", _numbers(embedding_dim=0)),
    "all_bucket_embeddings": Piece("an embedding of the buckets of all", _numbers(embedding_dim=8)),
    "no_wide_buckets": Piece("the wide part without buckets", _numbers(wide_buckets=False)),
    "no_indicators": Piece("no indicators of zero", _numbers(indicators=False)),
    "plain_scale": Piece("z-score for all numbers, no log1p", _numbers(scale="zscore")),
    "no_wide": Piece("the deep part alone", _section("model", towers="deep")),
    "no_deep": Piece("the wide part alone", _section("model", towers="wide")),
    "no_average": Piece("no moving average of the weights", _section("optimizer", ema_decay=0.0)),
    "mse": Piece("squared error on a heavy tail too", _section("model", loss="mse")),
    "no_dropout": Piece("no dropout", _section("model", dropout=0.0, input_dropout=0.0)),
    "no_decay": Piece("no weight decay", _section("optimizer", weight_decay=0.0)),
    "small": Piece("hidden layers of 64 and 32", _section("model", hidden_units=(64, 32))),
    "no_crosses": Piece(
        "without the declared crosses", lambda config: config.model_copy(update={"crosses": ()})
    ),
}


def main(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Train the recipe and each changed one, print the table, write ablation.json.

    Raises:
        UserError: the config, the data or the options do not fit.
    """
    options, flags = parse(argv, "ablate", "Take out the pieces of the recipe one by one.")
    chosen = _pieces(options.pieces)
    config = load(flags, environ, "ablate")
    parts, rows = open_rows(config, options.group)
    measured = functools.partial(measure, config.label.task)
    recipe = train_model(
        in_folder(config, below(config, "recipe")), options.seeds, parts, rows.part, "recipe"
    )
    found: dict[str, Any] = {
        "recipe": mean_metrics(measured, rows.label, recipe.scores, rows.weight)
    }
    for name in chosen:
        changed = PIECES[name].change(config)
        if changed == config or (name == "mse" and config.label.task != "regression"):
            continue
        one = train_model(
            in_folder(changed, below(config, name)), options.seeds, parts, rows.part, name
        )
        intervals = differences(config.label.task, one, recipe, rows, options.draws)
        found[name] = {metric: interval._asdict() for metric, interval in intervals.items()}
        lines = [describe_difference(metric, interval) for metric, interval in intervals.items()]
        print(f"{name}: {PIECES[name].description}\n  " + "\n  ".join(lines), flush=True)
    figures = "  ".join(f"{metric} {value:.4f}" for metric, value in found["recipe"].items())
    print(f"recipe on {rows.part}, mean of {len(options.seeds)} seed(s): {figures}")
    path = below(config, "ablation.json")
    storage.write_text(path, json.dumps(found, indent=1) + "\n")
    print(f"figures: {path}")


def _pieces(text: str) -> list[str]:
    """The names in "a,b", all pieces where there are none."""
    chosen = text.replace(",", " ").split()
    for name in chosen:
        if name not in PIECES:
            raise UserError(
                f"--pieces has no {name!r}{nearest(name, PIECES)}; valid: {', '.join(PIECES)}"
            )
    return chosen or list(PIECES)
