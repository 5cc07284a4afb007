"""`scripts/compare.py`: should I use this model? One table, with intervals, on my own rows."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from trainer import cli, logs, storage
from trainer.compare.contenders import (
    LOWER_IS_BETTER,
    Contender,
    Rows,
    below,
    differences,
    in_folder,
    measure,
    open_rows,
    train_model,
    train_references,
)
from trainer.compare.intervals import Interval, mean_metrics
from trainer.config import Config


def main(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Train the model and its references, print the table, write compare.json.

    Raises:
        UserError: the config, the data or the options do not fit, or a library is missing.
    """
    options, flags = parse(argv, "compare", "Train the model, boosted trees and a linear model.")
    config = load(flags, environ, "compare")
    parts, rows = open_rows(config, options.group)
    # First, for a library that is missing must not cost the training of the model.
    references = train_references(config, parts, rows.part, options.tuned)
    ours = train_model(config, options.seeds, parts, rows.part, "model")
    contenders = [ours, *references]
    found = compare(contenders, rows, config, options.draws)
    path = below(config, "compare.json")
    storage.write_text(path, json.dumps(found, indent=1) + "\n")
    print(describe(found, options.group))
    print(f"figures: {path}")


def parse(
    argv: Sequence[str], name: str, description: str
) -> tuple[argparse.Namespace, Sequence[str]]:
    """Our options, and the rest, which are flags of the trainer."""
    parser = argparse.ArgumentParser(
        prog=f"python scripts/{name}.py",
        usage=f"python scripts/{name}.py --config=PATH [options] [TRAINER FLAGS]",
        description=description,
        allow_abbrev=False,
    )
    parser.add_argument("--seeds", type=_seeds, default=(1, 2, 3), help="of the model (1,2,3)")
    parser.add_argument(
        "--group", help="column whose rows belong together in the bootstrap, such as a date"
    )
    if name == "compare":
        parser.add_argument(
            "--tuned",
            type=int,
            default=0,
            metavar="TRIALS",
            help="also tune the boosted trees, by so many trials (%(default)s)",
        )
    if name == "ablate":
        parser.add_argument("--pieces", default="", help="changes to try, a,b; all if not given")
    parser.add_argument("--draws", type=int, default=400, help="bootstrap samples (%(default)s)")
    return parser.parse_known_args(list(argv))


def load(flags: Sequence[str], environ: Mapping[str, str], name: str) -> Config:
    """The config; its runs go below runs/<config>-<name> where no folder is given."""
    invocation = cli.load_config(flags, environ)
    logs.set_up_logging(as_json=False)
    config = invocation.config
    if "output.job_dir" in invocation.sources:
        return config
    return in_folder(config, f"{config.output.job_dir}-{name}")


def compare(
    contenders: Sequence[Contender], rows: Rows, config: Config, num_draws: int
) -> dict[str, Any]:
    """Metrics of each contender, and the differences of the first one to the others."""
    measured = functools.partial(measure, config.label.task)
    ours, *others = contenders
    return {
        "task": config.label.task,
        "part": rows.part,
        "rows": len(rows.label),
        "groups": None if rows.groups is None else int(rows.groups.max()) + 1,
        "contenders": {
            c.name: {
                "metrics": mean_metrics(measured, rows.label, c.scores, rows.weight),
                "by_seed": [measured(rows.label, s, rows.weight) for s in c.scores],
                "seconds": round(c.seconds, 2),
                "note": c.note,
            }
            for c in contenders
        },
        "differences": {
            other.name: {
                name: interval._asdict()
                for name, interval in differences(
                    config.label.task, ours, other, rows, num_draws
                ).items()
            }
            for other in others
        },
    }


def describe(found: Mapping[str, Any], group: str | None) -> str:
    """The table and the verdicts, for people."""
    contenders = found["contenders"]
    ours = next(iter(contenders))
    names = list(contenders[ours]["metrics"])
    num_seeds = len(contenders[ours]["by_seed"])
    lines = [
        f"{found['part']}: {found['rows']:,} rows; {ours}: mean of {num_seeds} seed(s)",
        f"{'':<14}" + "".join(f"{name:>14}" for name in names) + f"{'seconds':>10}",
    ]
    for name, one in contenders.items():
        figures = "".join(f"{one['metrics'][metric]:>14.4f}" for metric in names)
        lines.append(f"{name:<14}{figures}{one['seconds']:>10.1f}  {one['note']}")
    drawn = f"{found['groups']} values of {group}" if group else "rows"
    lines.append(f"{ours} less the other, with 95% intervals (paired bootstrap over {drawn}):")
    for other, intervals in found["differences"].items():
        for metric, interval in intervals.items():
            lines.append(f"  {other:<14}{describe_difference(metric, Interval(**interval))}")
    return "\n".join(lines)


def describe_difference(metric: str, interval: Interval) -> str:
    """`auc  +0.0123 [+0.0020, +0.0210] better`."""
    verdict = "not distinguishable"
    if interval.is_clear:
        verdict = "better" if (interval.value < 0) == (metric in LOWER_IS_BETTER) else "worse"
    return (
        f"{metric:<14}{interval.value:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]  {verdict}"
    )


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.replace(",", " ").split())
