"""What a study leaves behind: trials.json and .csv, best_flags.yaml, and study.html with its plots.

Must not know how trials are run. The page needs no network: the plotting library is part of it.
"""

from __future__ import annotations

import csv
import html
import importlib
import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainer import storage
from trainer.errors import UserError
from trainer.jobs.search_space import Parameter, Value, walk
from trainer.jobs.study import Study
from trainer.jobs.study_store import import_optuna
from trainer.jobs.trials import Trial, is_ranked, ranked, ranked_table
from trainer.yaml_text import dump_yaml

# With fewer, Optuna gives all parameters the same importance.
_MIN_FOR_IMPORTANCE = 4

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font-family: sans-serif; margin: 2em; color: #222; }}
pre {{ overflow-x: auto; background: #f6f6f6; padding: 1em; }}
</style>
<script>{library}</script>
</head>
<body>
<h1>{title}</h1>
<p>{summary}</p>
<pre>{table}</pre>
{plots}
</body>
</html>
"""


def write_trials(study: Study, trials: Sequence[Trial], folder: Path) -> None:
    """Write trials.json and trials.csv, best first; the same numbers, to the last digit."""
    ordered = ranked(trials, study.goals)
    records = [
        {"rank": rank if is_ranked(trial, study.metric) else None, **asdict(trial)}
        for rank, trial in enumerate(ordered, 1)
    ]
    storage.write_text(str(folder / "trials.json"), json.dumps(records, indent=1) + "\n")
    names = list(dict.fromkeys(name for trial in ordered for name in trial.parameters))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["rank", "trial", "state", study.metric, "steps", "seconds", *names, "reason"])
    for record, trial in zip(records, ordered, strict=True):
        table.writerow(
            [
                record["rank"],
                trial.id,
                trial.state,
                trial.metrics.get(study.metric),
                trial.steps,
                trial.seconds,
                *(trial.parameters.get(name) for name in names),
                trial.reason,
            ]
        )
    storage.write_text(str(folder / "trials.csv"), text.getvalue())


def write_best_flags(study: Study, best: Trial, command: str, folder: Path) -> None:
    """Write best_flags.yaml: the tuned flags of the best trial by name, and the command as comment.

    The file is a record, not a config: a flag's name does not say its section.
    """
    head = [
        f"# Trial {best.id}: {study.metric} {best.metrics[study.metric]:.6g}",
        # A value with a line break would else go on as YAML.
        f"# {' '.join(command.splitlines())}",
    ]
    flags = {name: _plain(value) for name, value in best.parameters.items()}
    text = "\n".join(head) + "\n" + dump_yaml(flags)
    storage.write_text(str(folder / "best_flags.yaml"), text)


def write_page(study: Study, trials: Sequence[Trial], title: str, folder: Path) -> None:
    """Write study.html: the table, optimisation history, importance, parallel coordinates.

    Raises:
        UserError: plotly is not installed.
    """
    try:
        plotly = importlib.import_module("plotly.offline")
    except ImportError as error:
        raise UserError(
            "study.html needs plotly; pip install 'wide-and-deep-trainer[local]'. The other "
            "results are written"
        ) from error
    with warnings.catch_warnings():
        # Optuna's remarks on few trials, and on what its next versions will rename.
        warnings.simplefilter("ignore")
        contents = _plots(study, trials)
    plots = [f"<h2>{html.escape(name)}</h2>\n{text}" for name, text in contents.items()]
    num_ranked = sum(is_ranked(trial, study.metric) for trial in trials)
    page = _PAGE.format(
        title=html.escape(title),
        summary=f"{len(trials)} trials, {num_ranked} of them ranked by {html.escape(study.metric)}",
        # So that nothing in the library ends the script.
        library=plotly.get_plotlyjs().replace("</script", "<\\/script"),
        table=html.escape(ranked_table(trials, study.goals)),
        plots="\n".join(plots),
    )
    storage.write_text(str(folder / "study.html"), page)


def _plots(study: Study, trials: Sequence[Trial]) -> dict[str, str]:
    """Heading -> HTML of each plot, or the reason why there is none."""
    visualization = import_optuna().visualization
    recorded = _recorded(study, trials)
    num_ranked = sum(is_ranked(trial, study.metric) for trial in trials)
    makers = {
        "Optimisation history": (visualization.plot_optimization_history, 1),
        "Parameter importance": (visualization.plot_param_importances, _MIN_FOR_IMPORTANCE),
        "Parallel coordinates": (visualization.plot_parallel_coordinate, 1),
    }
    plots = {}
    for heading, (make, least) in makers.items():
        if num_ranked < least:
            plots[heading] = f"<p>No plot: it needs {least} ranked trials, not {num_ranked}.</p>"
            continue
        try:
            figure = make(recorded, target_name=study.metric)
        except (ValueError, RuntimeError) as error:
            plots[heading] = f"<p>No plot: {html.escape(str(error))}</p>"
            continue
        if heading == "Optimisation history":
            figure.update_layout(xaxis_title="Trial")
            for trace in figure.data:
                trace.x = [x + 1 for x in trace.x]  # Optuna counts from 0
        figure.update_layout(title_text="")
        plots[heading] = figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            include_mathjax=False,
            config={"displaylogo": False},
        )
    return plots


def _recorded(study: Study, trials: Sequence[Trial]) -> Any:
    """The trials as an Optuna study of their true values, not of the coordinates searched."""
    optuna = import_optuna()
    recorded = optuna.create_study(direction="maximize" if study.maximizes else "minimize")
    for trial in sorted(trials, key=lambda t: int(t.id)):
        params, distributions = _true_values(study, trial)
        is_good = is_ranked(trial, study.metric)
        recorded.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.COMPLETE if is_good else optuna.trial.TrialState.FAIL,
                params=params,
                distributions=distributions,
                value=trial.metrics[study.metric] if is_good else None,
            )
        )
    return recorded


def _true_values(study: Study, trial: Trial) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values and distributions of the active parameters by key."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    params: dict[str, Any] = {}
    distributions: dict[str, Any] = {}

    def note(parameter: Parameter) -> Value:
        value = trial.parameters[parameter.name]
        is_log = parameter.scale == "log"
        params[parameter.key] = value
        if parameter.kind == "categorical":
            distributions[parameter.key] = CategoricalDistribution(parameter.choices)
        elif parameter.kind == "integer":
            distributions[parameter.key] = IntDistribution(
                round(parameter.low), round(parameter.high), log=is_log
            )
        else:
            bounds = parameter.choices or (parameter.low, parameter.high)
            distributions[parameter.key] = FloatDistribution(
                float(bounds[0]), float(bounds[-1]), log=is_log
            )
        return value

    walk(study.parameters, note)
    return params, distributions


def _plain(value: Value) -> Value:
    """128 of a DISCRETE parameter, which is a double, as people write it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
