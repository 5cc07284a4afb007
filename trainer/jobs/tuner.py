"""The loop of a study: starts trials, stops those below the median, notes how each one ends.

One thread watches processes and files. Must not know what a studySpec or an HTML page looks like.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trainer.errors import Interrupted, TrainingFailed, UserError
from trainer.jobs.search_space import flags
from trainer.jobs.stopping import Measurement, is_below_median, select
from trainer.jobs.study import Study
from trainer.jobs.study_store import Point, StudyStore
from trainer.jobs.trial_run import Launch, RunningTrial, make_request, stop_orphan
from trainer.jobs.trials import Trial, best_trial, flags_of, format_seconds

_POLL_SECONDS = 0.1
# A trial that ends with 75 was cut off and can go on. Source: Vertex AI retries a job 3 times.
_MAX_RESTARTS = 3
_INTERRUPTED = "interrupted"
_STUDY_FAILED = "the study has failed"


class Tuner:
    """Runs the trials of a study to its end."""

    def __init__(
        self,
        study: Study,
        store: StudyStore,
        study_dir: Path,
        *,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        pool_env: Mapping[str, str],
        launch: Launch,
        is_interrupted: Callable[[], bool] = lambda: False,
        is_prepared: Callable[[], bool] = lambda: True,
    ):
        """Prepare; nothing is started.

        Args:
            study: what is searched.
            store: its trials so far.
            study_dir: its folder.
            arguments: of the trainer, before the trial's own flags.
            environ: of this process.
            pool_env: variables of the job file.
            launch: starts a trial.
            is_interrupted: whether everything is to stop; asked all the time.
            is_prepared: whether what the trials share is made; until then, or until the first trial
                has reported, one runs alone, and the others do not make it again.
        """
        self._study, self._store, self._study_dir = study, store, study_dir
        self._arguments, self._environ, self._pool_env = arguments, environ, pool_env
        self._launch, self._is_interrupted = launch, is_interrupted
        self._is_prepared = is_prepared
        self._waiting = store.unfinished()
        self._points: dict[int, Point] = {}
        self._running: dict[int, RunningTrial] = {}
        self._num_restarts: dict[int, int] = {}
        self._failures: list[tuple[Trial, int]] = []

    def run(self) -> None:
        """Run until all trials have ended.

        A study that was cut off first runs again what had not ended. Failures of earlier calls are
        not counted: whoever calls again has seen them.

        Raises:
            Interrupted: `is_interrupted` said so; the trials have been stopped after a checkpoint.
            UserError: too many trials failed, or all, the last one by a mistake of the user.
            TrainingFailed: too many trials failed, or all.
        """
        try:
            while self._start_trials() or self._running:
                self._watch_trials()
        finally:
            # Some are left only where this loop itself was broken off: a second Ctrl-C, an error.
            for running in self._running.values():
                running.kill()
        if self._is_interrupted():
            raise Interrupted("the trials are at their checkpoints; the same command goes on")
        no_value = self._failures and not best_trial(self._store.ended(), self._study.goals)
        if self._has_failed or no_value:
            trial, exit_code = self._failures[-1]
            kind = UserError if exit_code == UserError.exit_code else TrainingFailed
            said = "end the study (maxFailedTrialCount)" if self._has_failed else "and no good one"
            raise kind(
                f"{len(self._failures)} failed trials {said}; trial {trial.id}: {trial.reason}"
            )

    @property
    def _has_failed(self) -> bool:
        return len(self._failures) >= self._study.max_failed

    def _start_trials(self) -> bool:
        """Fill the free places; gives whether a trial was started."""
        started = False
        while not (self._has_failed or self._is_interrupted()):
            if len(self._running) >= self._study.parallel or self._is_first_alone():
                break
            if self._waiting:
                trial_id, point = self._waiting.pop(0)
            elif self._store.num_asked() < self._study.max_trials:
                trial_id, point = self._store.ask()
            else:
                break
            self._start(trial_id, point)
            started = True
        return started

    def _is_first_alone(self) -> bool:
        """Whether the trial that runs makes what all of them will use."""
        is_quiet = not any(running.curve for running in self._running.values())
        return len(self._running) == 1 and is_quiet and not self._is_prepared()

    def _start(self, trial_id: int, point: Point) -> None:
        request = make_request(
            self._study_dir,
            trial_id,
            [*self._arguments, *flags(self._study.parameters, point)],
            self._environ,
            self._pool_env,
        )
        if stop_orphan(request.folder):
            print(f"trial {trial_id} still ran; it was stopped and goes on here", flush=True)
        self._points[trial_id] = point
        self._running[trial_id] = RunningTrial(request, self._study.metric, self._launch)

    def _watch_trials(self) -> None:
        """Look at every trial once; sleeps where nothing has happened."""
        has_news = False
        for trial_id, running in list(self._running.items()):
            if self._is_interrupted():
                running.stop(_INTERRUPTED)
            exit_code = running.poll()
            if exit_code is not None:
                del self._running[trial_id]
                self._end(trial_id, running, exit_code)
                has_news = True
            elif running.read_measurements() and self._study.stopping != "none":
                self._stop_if_below_median(running)
        if not has_news:
            time.sleep(_POLL_SECONDS)

    def _stop_if_below_median(self, running: RunningTrial) -> None:
        if is_below_median(
            running.curve,
            self._store.curves(),
            maximize=self._study.maximizes,
            by_seconds=self._study.stopping == "median_by_seconds",
        ):
            running.stop(f"below the median at step {running.curve[-1].step}")

    def _end(self, trial_id: int, running: RunningTrial, exit_code: int) -> None:
        """Note how a trial ended, or leave it to be run again."""
        if exit_code and running.stop_reason in (_INTERRUPTED, _STUDY_FAILED):
            return
        restarts = self._num_restarts.get(trial_id, 0)
        was_cut_off = exit_code == Interrupted.exit_code and not running.stop_reason
        if was_cut_off and restarts < _MAX_RESTARTS:
            self._num_restarts[trial_id] = restarts + 1
            self._waiting.insert(0, (trial_id, self._points[trial_id]))
            return
        curve = running.final_curve()
        trial = self._outcome(trial_id, running, exit_code, curve)
        self._store.tell(trial, curve)
        print(self._line(trial), flush=True)
        if trial.state == "INFEASIBLE":
            self._failures.append((trial, exit_code))
            if self._has_failed:
                for other in self._running.values():
                    other.stop(_STUDY_FAILED)

    def _outcome(
        self, trial_id: int, running: RunningTrial, exit_code: int, curve: list[Measurement]
    ) -> Trial:
        """The trial as it ended; one that was stopped early keeps the value it had."""
        kept = select(curve, self._study.selection, maximize=self._study.maximizes)
        state, reason = "SUCCEEDED", ""
        if exit_code and running.stop_reason:
            state, reason = "STOPPED", running.stop_reason
        elif exit_code or kept is None:
            state, reason, kept = "INFEASIBLE", running.cause(exit_code), None
        return Trial(
            id=str(trial_id),
            state=state,
            parameters=dict(self._points[trial_id]),
            metrics={} if kept is None else {self._study.metric: kept.value},
            steps=None if kept is None else kept.step,
            seconds=round(time.time() - running.started, 3),
            reason=reason,
        )

    def _line(self, trial: Trial) -> str:
        """What the console says of a trial that has ended."""
        metric = self._study.metric
        value = trial.metrics.get(metric)
        said = f"{metric} {value:.6g}" if value is not None else "no value"
        if trial.reason:
            said += f", {trial.state}: {trial.reason}"
        best = best_trial(self._store.ended(), self._study.goals)
        so_far = f"best {best.metrics[metric]:.6g} (trial {best.id})" if best else "no best yet"
        time_taken = format_seconds(trial.seconds or 0.0)
        parameters = " ".join(flags_of(trial))
        return f"trial {trial.id:>3}  {said}  {so_far}  {time_taken}  {parameters}"
