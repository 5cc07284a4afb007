"""The trials of a study on disk, and the next point to try: Optuna behind a few plain calls.

Optuna's journal in the study's folder holds everything, so a study goes on where it was cut off.
The caller sees to it that one process at a time uses the folder.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.errors import UserError
from trainer.jobs.search_space import Parameter, Value, decode, distribution, encode, grid, walk
from trainer.jobs.stopping import Measurement
from trainer.jobs.study import Study
from trainer.jobs.trials import Trial

if TYPE_CHECKING:
    import optuna

# Random trials before the search learns; of a study of 20 trials, Optuna's 10 would be half.
_STARTUP_SHARE = 4
_MAX_STARTUP_TRIALS = 10
_RESULT = "trial"
_CURVE = "curve"

Point = dict[str, Value]


def import_optuna() -> Any:
    """Optuna, which logs from warnings on.

    Raises:
        UserError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserError(
            "tuning on this machine needs Optuna; pip install 'wide-and-deep-trainer[local]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class StudyStore:
    """The trials of one study.

    A point depends on the seed, its number and the trials that have ended before it is asked for,
    and on nothing else: a study that was cut off goes on as if it had not been.
    """

    def __init__(self, study: Study, journal: Path, seed: int):
        """Open the journal, or make it."""
        self._optuna = import_optuna()
        self._study, self._seed = study, seed
        _repair(journal)
        backend = self._optuna.storages.journal.JournalFileBackend(str(journal))
        self._trials: optuna.Study = self._optuna.create_study(
            storage=self._optuna.storages.JournalStorage(backend),
            study_name="study",
            direction="maximize" if study.maximizes else "minimize",
            load_if_exists=True,
        )

    def unfinished(self) -> list[tuple[int, Point]]:
        """Trials that were asked for and not told of, by number from 1."""
        running = (self._optuna.trial.TrialState.RUNNING,)
        frozen = self._trials.get_trials(deepcopy=False, states=running)
        return [(trial.number + 1, self._point(trial.number, trial._trial_id)) for trial in frozen]

    def num_asked(self) -> int:
        """Trials that were ever asked for."""
        return len(self._trials.get_trials(deepcopy=False))

    def ask(self) -> tuple[int, Point]:
        """The next trial: its number from 1, and its active parameters."""
        trial = self._trials.ask()
        return trial.number + 1, self._point(trial.number, trial._trial_id)

    def tell(self, trial: Trial, curve: Sequence[Measurement]) -> None:
        """Say how a trial ended; the search learns nothing from an INFEASIBLE one."""
        states = self._optuna.trial.TrialState
        number = int(trial.id) - 1
        frozen = self._trials.get_trials(deepcopy=False)[number]
        handle = self._optuna.trial.Trial(self._trials, frozen._trial_id)
        handle.set_user_attr(_RESULT, json.dumps(dataclasses.asdict(trial)))
        handle.set_user_attr(_CURVE, [list(measurement) for measurement in curve])
        value = trial.metrics.get(self._study.metric)
        if value is None or trial.state == "INFEASIBLE":
            self._trials.tell(number, state=states.FAIL)
        elif trial.state == "STOPPED":
            handle.report(value, step=trial.steps or 0)
            self._trials.tell(number, state=states.PRUNED)
        else:
            self._trials.tell(number, value)

    def ended(self) -> list[Trial]:
        """The trials that were told of, by number."""
        return [Trial(**json.loads(attrs[_RESULT])) for attrs in self._ended_attributes()]

    def curves(self) -> list[list[Measurement]]:
        """The measurements of the trials that ended well or were stopped."""
        return [
            [Measurement(*m) for m in attrs[_CURVE]]
            for attrs in self._ended_attributes()
            if json.loads(attrs[_RESULT])["state"] != "INFEASIBLE"
        ]

    def _ended_attributes(self) -> list[dict[str, Any]]:
        trials = self._trials.get_trials(deepcopy=False)
        return [trial.user_attrs for trial in trials if trial.state.is_finished()]

    def _point(self, number: int, optuna_id: int) -> Point:
        """The parameters of a trial; those that it has already stay as they are."""
        with warnings.catch_warnings():
            # Grouped and partly fixed sampling are marked experimental, for years.
            warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
            self._trials.sampler = self._sampler(number)
            # The only way to a trial that another process began: this class, by storage id.
            trial = self._optuna.trial.Trial(self._trials, optuna_id)
            return walk(
                self._study.parameters, lambda p: decode(p, _suggest(trial, p, distribution(p)))
            )

    def _sampler(self, number: int) -> Any:
        samplers = self._optuna.samplers
        seed = zlib.crc32(f"{self._seed}/{number}".encode())
        if self._study.algorithm == "random":
            return samplers.RandomSampler(seed)
        if self._study.algorithm == "grid":
            point = next(itertools.islice(grid(self._study.parameters), number, None))
            return samplers.PartialFixedSampler(
                _coordinates(self._study.parameters, point), samplers.RandomSampler(seed)
            )
        return samplers.TPESampler(
            seed=seed,
            n_startup_trials=min(_MAX_STARTUP_TRIALS, 1 + self._study.max_trials // _STARTUP_SHARE),
            # Parameters are looked at together, within the branches of conditional ones. Optuna's
            # share of good trials (gamma, a tenth) stays. A quarter finds the region planted in
            # test_tuner.py as often (58 of 70 seeds against 64 of 80), gets closer to its centre,
            # and is more easily caught in the wrong branch of a conditional parameter.
            multivariate=True,
            group=True,
            # Trials that run count as bad ones, so that neighbours do not try the same place.
            constant_liar=True,
        )


def _suggest(trial: optuna.Trial, parameter: Parameter, values: Any) -> Any:
    if parameter.kind == "categorical":
        return trial.suggest_categorical(parameter.key, values.choices)
    if parameter.kind == "double":
        return trial.suggest_float(parameter.key, values.low, values.high, log=values.log)
    return trial.suggest_int(parameter.key, values.low, values.high, log=values.log)


def _coordinates(parameters: Sequence[Parameter], point: Point) -> dict[str, Any]:
    """Key -> coordinate of the parameters that are active at a grid's point."""
    found: dict[str, Any] = {}

    def note(parameter: Parameter) -> Value:
        found[parameter.key] = encode(parameter, point[parameter.key])
        return point[parameter.key]

    walk(parameters, note)
    return found


def _repair(journal: Path) -> None:
    """Cut off a half-written last line, and the lock of a process that was killed while it wrote.

    Optuna appends behind the half line and cannot read the whole any more, and waits 30 s for the
    lock.
    """
    journal.with_name(journal.name + ".lock").unlink(missing_ok=True)
    if journal.exists():
        os.truncate(journal, journal.read_bytes().rfind(b"\n") + 1)
