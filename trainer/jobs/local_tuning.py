"""Run a tuning job file on this machine: the study through Optuna, each trial a real run.

The composition of tune_locally.py: reads the file, claims the study's folder, runs the trials,
writes what came out.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import shlex
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainer import storage
from trainer.errors import Interrupted, TrainingFailed, UserError
from trainer.flags import FLAGS
from trainer.jobs.fake_cloud import buckets_in, fake_cloud
from trainer.jobs.job_file import (
    NAMES,
    NAMES_HELP,
    JobFile,
    default_names_path,
    read_job_file,
    read_names,
)
from trainer.jobs.search_space import grid_size
from trainer.jobs.study import Study, read_study
from trainer.jobs.study_page import write_best_flags, write_page, write_trials
from trainer.jobs.study_store import StudyStore
from trainer.jobs.trial_run import Launch, launch_trainer, try_lock
from trainer.jobs.trials import Trial, best_trial, flags_of, ranked_table
from trainer.jobs.tuner import Tuner
from trainer.redaction import names_secret

_EPILOG = """Ctrl-C stops the trials after a checkpoint; the same command goes on.
Exit codes: 0 done, 2 a mistake of the user, 3 too many trials failed, 75 interrupted."""


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        job: the tuning job file.
        study: what it searches, with the options over its counts.
        study_dir: folder of the study.
        arguments: of every trial: the pool's, then those after `--`.
        gs_dir: folder that stands for Cloud Storage; '': gs:// is Cloud Storage itself.
        seed: of the search.
    """

    job: JobFile
    study: Study
    study_dir: Path
    arguments: tuple[str, ...]
    gs_dir: str
    seed: int


def main(argv: Sequence[str], environ: Mapping[str, str], launch: Launch = launch_trainer) -> None:
    """Run the study to its end, or as far as it comes, and write its results.

    Args:
        argv: of the command.
        environ: of this process.
        launch: starts a trial; another one than the trainer is for tests.

    Raises:
        UserError: the file, the folder or an option is wrong, or trials fail by the user's mistake.
        TrainingFailed: too many trials failed.
        Interrupted: SIGTERM or Ctrl-C.
    """
    request = read_request(argv)
    with _claimed(request), _interruption() as is_interrupted, _cloud(request) as variables:
        store = StudyStore(request.study, request.study_dir / "journal.log", request.seed)
        print(_describe(request, store), flush=True)
        tuner = Tuner(
            request.study,
            store,
            request.study_dir,
            arguments=request.arguments,
            environ={**environ, **variables},
            pool_env=request.job.pools[0].env,
            launch=launch,
            is_interrupted=is_interrupted,
            is_prepared=lambda: _is_cache_filled(request),
        )
        try:
            tuner.run()
        except Interrupted:
            write_trials(request.study, store.ended(), request.study_dir)
            raise
        except (UserError, TrainingFailed):
            _write_results(request, store.ended())
            raise
        _write_results(request, store.ended())


def read_request(argv: Sequence[str]) -> Request:
    """The command line and the job file that it names.

    Raises:
        UserError: the file is no tuning job that can be run here, or an option is wrong.
    """
    options, flags = _parse(argv)
    names_path = options.names or default_names_path(options.job_file)
    stem = Path(options.job_file).stem
    # Outputs go to the study's folder, so a name that is not set does not matter here.
    names = {name: f"local-{name.lower()}" for name in NAMES} | {"JOB": stem}
    names |= read_names(names_path) if names_path else {}
    job = read_job_file(options.job_file, names)
    if job.kind != "tuning":
        raise UserError(
            f"{job.path} has no studySpec; run it with `python scripts/run_job_locally.py "
            f"{job.path}`"
        )
    pools = job.pools
    if not pools or not pools[0].runs_trainer:
        raise UserError(f"{job.path}: the first of workerPoolSpecs must run trainer.task")
    study = read_study(job.values, job.path)
    study = replace(
        study,
        max_trials=options.max_trials or study.max_trials,
        parallel=options.parallel or study.parallel,
    )
    if study.algorithm == "grid":
        study = replace(study, max_trials=min(study.max_trials, grid_size(study.parameters)))
    study_dir = options.study_dir or f"runs/{stem}"
    if storage.is_remote(study_dir):
        raise UserError(f"--study_dir must be a local folder; received {study_dir}")
    arguments = (*_cache_flag(study_dir), *job.trainer_args, *flags)
    return Request(job, study, Path(study_dir), arguments, options.gs_dir, options.seed)


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="tune_locally.py",
        description="Run a Vertex AI tuning job file on this machine, without any cloud.",
        usage="%(prog)s FILE [options] [-- FLAGS OF THE TRAINER]",
        epilog=_EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("job_file", metavar="FILE", help="e.g. configs/tuning_small.yaml")
    parser.add_argument("--names", help=NAMES_HELP)
    parser.add_argument("--study_dir", default="", help="default: runs/NAME OF THE FILE")
    parser.add_argument("--max_trials", type=_count, help="instead of maxTrialCount")
    parser.add_argument("--parallel", type=_count, help="instead of parallelTrialCount")
    parser.add_argument("--seed", type=int, default=0, help="of the search; default: 0")
    parser.add_argument(
        "--gs_dir", default="", help="a folder that stands for gs://; default: Cloud Storage itself"
    )
    ours, flags = list(argv), []
    if "--" in ours:
        split = ours.index("--")
        ours, flags = ours[:split], ours[split + 1 :]
    return parser.parse_args(ours), flags


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _cache_flag(study_dir: str) -> list[str]:
    """The flag that lets the trials share the encoded data; a --cache_dir of the user wins."""
    return [f"--cache_dir={study_dir}/cache"] if "cache_dir" in FLAGS else []


def _is_cache_filled(request: Request) -> bool:
    """Whether the encoded data lies in the study's folder, or is the user's business."""
    flags = [argument for argument in request.arguments if argument.startswith("--cache_dir")]
    own = _cache_flag(str(request.study_dir))
    # The manifest is what an entry of the cache gets last.
    return flags != own or any(Path(request.study_dir, "cache").glob("*/manifest.json"))


@contextlib.contextmanager
def _claimed(request: Request) -> Iterator[None]:
    """The study's folder is this process's and this study's own.

    Raises:
        UserError: another process uses it, or another study lies there.
    """
    folder = request.study_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / "lock", "a")  # noqa: SIM115  # closed below
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from error
    with lock:
        if not try_lock(lock):
            raise UserError(f"{folder} is in use by another tune_locally.py; give --study_dir=...")
        path = folder / "study.json"
        identity = _identity(request)
        if path.exists():
            known = json.loads(path.read_text())
            for key in sorted({*known, *identity}):
                if known.get(key) != identity.get(key):
                    raise UserError(
                        f"{folder} holds another study: {key} was {known.get(key)!r}, now "
                        f"{identity.get(key)!r}; give another --study_dir, or delete the folder"
                    )
        storage.write_text(str(path), json.dumps(identity, indent=1, sort_keys=True) + "\n")
        yield


def _identity(request: Request) -> dict[str, Any]:
    """What makes two commands the same study; counts of trials and the seed may change.

    It lands in a file and in a message, so of a secret there is only a hash.
    """
    spec = {f"studySpec.{name}": value for name, value in (request.job.study or {}).items()}
    own = {*_cache_flag(str(request.study_dir))}
    arguments = [argument for argument in request.arguments if argument not in own]
    environment = {
        name: hashlib.sha256(value.encode()).hexdigest() if names_secret(name) else value
        for name, value in request.job.pools[0].env.items()
    }
    # As JSON gives it back.
    return json.loads(json.dumps({**spec, "arguments": arguments, "env": environment}))


@contextlib.contextmanager
def _interruption() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether SIGTERM or Ctrl-C came; a second Ctrl-C raises."""
    received: list[int] = []

    def note(number: int, _: Any) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)
        print("stopping the trials after a checkpoint; Ctrl-C again: at once", flush=True)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _cloud(request: Request) -> Iterator[dict[str, str]]:
    """Variables that make gs:// a folder, where the user gave one."""
    if not request.gs_dir:
        yield {}
        return
    with fake_cloud(request.gs_dir, buckets_in(" ".join(request.arguments))) as address:
        yield {"STORAGE_EMULATOR_HOST": address}


def _describe(request: Request, store: StudyStore) -> str:
    """The lines before the first trial: what is done, and what differs from Vertex AI."""
    study = request.study
    lines = [
        f"study of {request.job.path}: {study.max_trials} trials, {study.parallel} at a time, "
        f"{study.algorithm}, {study.goals[study.metric].lower()} {study.metric}, "
        f"the {study.selection} measurement counts",
        f"folder: {request.study_dir}",
    ]
    notes = list(study.notes)
    if study.algorithm == "grid" and study.max_trials < grid_size(study.parameters):
        notes.append(f"the grid has {grid_size(study.parameters)} points; the rest is not tried")
    if request.job.output_uri is None:
        notes.append("baseOutputDirectory is missing; on Vertex AI the models would be lost")
    if sum(pool.replicas for pool in request.job.pools) > 1:
        notes.append("a trial runs as one process here; the other replicas are left out")
    remote = [argument for argument in request.arguments if "gs://" in argument]
    if remote and not request.gs_dir:
        notes.append(f"{remote[0]} is read from Cloud Storage; --gs_dir=FOLDER reads a folder")
    lines += [f"note: {note}" for note in notes]
    num_ended, num_cut_off = len(store.ended()), len(store.unfinished())
    if num_ended or num_cut_off:
        lines.append(f"going on: {num_ended} trials have ended, {num_cut_off} were cut off")
    return "\n".join(lines)


def _write_results(request: Request, trials: Sequence[Trial]) -> None:
    """The files, the ranked table, and the command that trains the best."""
    study, folder = request.study, request.study_dir
    write_trials(study, trials, folder)
    if not trials:
        return
    print(f"\n{ranked_table(trials, study.goals)}\n")
    best = best_trial(trials, study.goals)
    if best is not None:
        command = _best_command(request, best)
        write_best_flags(study, best, command, folder)
        print(f"best: trial {best.id}, model in {folder / best.id / 'model'}")
        print(f"train it again:\n  {command}")
    write_page(study, trials, f"Study {request.study_dir.name}", folder)
    print(f"plots: {folder / 'study.html'}; numbers: {folder / 'trials.csv'}", flush=True)


def _best_command(request: Request, best: Trial) -> str:
    """The command line that trains with the parameters of a trial."""
    job_dir = f"--job_dir={request.study_dir / 'best'}"
    given = [*request.arguments, *flags_of(best), job_dir]
    return shlex.join(["python", "-m", "trainer.task", *given])
