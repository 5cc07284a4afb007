"""A Vertex AI job on this machine: the same YAML, every replica a process, gs:// a folder.

For scripts/run_job_locally.py, and for tests that run what was submitted.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

from trainer.errors import Interrupted, UserError
from trainer.jobs import package
from trainer.jobs.fake_cloud import buckets_in, fake_cloud, make_buckets
from trainer.jobs.job_file import (
    NAMES_HELP,
    JobFile,
    default_names_path,
    job_name,
    read_job_file,
    read_names,
)
from trainer.jobs.replica_logs import LogView
from trainer.jobs.replica_process import ReplicaProcess
from trainer.jobs.replicas import Replica, choose_addresses, plan_replicas, process_environment
from trainer.jobs.supervision import JobOutcome, Supervisor, read_scheduling
from trainer.outcome import exit_code_of

_EPILOG = """\
Behind -- come flags of the trainer for all replicas, e.g. -- --epochs=1 --train=/data/*.csv. Paths
must be absolute or gs://. Put what a job reads from gs://BUCKET/NAME into the folder GS_DIR/BUCKET.
With the same --name and --gs_dir a run goes on where an earlier one stopped.
"""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the job file that the arguments name; gives 0 or the code of the failed replica.

    2 for a mistake of the user, 75 when interrupted (start again to go on).
    """
    outcomes: list[JobOutcome] = []
    code = exit_code_of(lambda: outcomes.append(_run(argv, environ)))
    return outcomes[0].exit_code if outcomes else code


def run_job(
    job: JobFile,
    *,
    work_dir: str,
    environ: Mapping[str, str],
    gs_endpoint: str | None = None,
    gs_dir: str | None = None,
    extra_flags: Sequence[str] = (),
    package_path: str | None = None,
    on_start: Callable[[Replica, int], None] | None = None,
    stream: TextIO | None = None,
    grace_seconds: float = 10.0,
) -> JobOutcome:
    """Run a job to its end; no process of it is left then, whatever happens.

    Call it from a thread that lives as long as the job: the replicas die with it.

    Args:
        job: a custom job.
        work_dir: made; gets logs/REPLICA.log, the installed package and the replicas' folders.
        environ: the environment that replicas inherit; what Vertex AI sets is replaced.
        gs_endpoint: a running emulator of Cloud Storage; None: one is started over `gs_dir`.
        gs_dir: the folder for gs://; None: `work_dir`/gs.
        extra_flags: put behind the arguments of every replica.
        package_path: an sdist, or a folder in which the package is installed; None: it is built.
        on_start: gets each replica and its process id whenever it is started.
        stream: takes the log; None: stdout, in colours where that is a terminal.
        grace_seconds: between SIGTERM and SIGKILL.

    Raises:
        UserError: the job cannot be run here, with the reason.
    """
    if job.kind == "tuning":
        raise UserError(
            f"{job.path} is a tuning job; run python scripts/tune_locally.py {job.path}"
        )
    job_id = f"{datetime.now(tz=timezone.utc):%Y%m%d%H%M%S%f}"
    plan = plan_replicas(job, choose_addresses(job), job_id=job_id, extra_flags=extra_flags)
    scheduling = read_scheduling(job)
    view = _make_view(stream or sys.stdout, plan.replicas, environ)
    for note in plan.notes:
        view.note(f"job: {note}")
    folders = _Folders(Path(work_dir), Path(gs_dir or Path(work_dir, "gs")))
    package_dir = _install(package_path, folders, view)
    buckets = buckets_in(job.text + " ".join(extra_flags))
    with _cloud(gs_endpoint, folders.gs, buckets) as endpoint:

        def start(replica: Replica) -> ReplicaProcess:
            process = _start(
                replica,
                folders,
                view,
                process_environment(
                    environ, replica, package_dir=package_dir, gs_endpoint=endpoint
                ),
            )
            view.note(f"job: {replica.name} is process {process.pid}")
            if on_start is not None:
                on_start(replica, process.pid)
            return process

        supervisor = Supervisor(
            plan.replicas,
            start,
            scheduling,
            note=lambda text: view.note(f"job: {text}"),
            grace_seconds=grace_seconds,
        )
        return supervisor.run()


def _run(argv: Sequence[str], environ: Mapping[str, str]) -> JobOutcome:
    options = _parse(argv)
    names_path = options.names or default_names_path(options.job_file)
    names = read_names(names_path) if names_path else {}
    name = job_name(options.job_file, datetime.now(tz=timezone.utc), options.name)
    job = read_job_file(options.job_file, {**names, "JOB": name})
    work_dir = options.work_dir or str(Path("runs", name))
    gs_dir = options.gs_dir or str(Path(work_dir, "gs"))
    print(f"job: {name}; logs in {Path(work_dir, 'logs')}; gs:// is the folder {gs_dir}")
    try:
        with _signals_as_ctrl_c():
            outcome = run_job(
                job,
                work_dir=work_dir,
                gs_dir=gs_dir,
                environ=environ,
                extra_flags=options.flags,
                package_path=options.package,
            )
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"nothing is left running; to go on: --name={name} --gs_dir={gs_dir}"
        ) from error
    if outcome.state == "succeeded" and job.output_uri:
        print(f"job: its files are in {Path(gs_dir, job.output_uri.removeprefix('gs://'))}")
    print(_last_line(outcome), file=sys.stderr if outcome.exit_code else sys.stdout)
    return outcome


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run_job_locally.py",
        description="Run a Vertex AI job file on this machine, without any cloud.",
        epilog=_EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("job_file", help="e.g. configs/job_workers.yaml")
    parser.add_argument("--names", help=NAMES_HELP)
    parser.add_argument("--name", help="the value of ${JOB}; default: the file's name and the time")
    parser.add_argument("--work_dir", help="logs and installed package; default: runs/JOB")
    parser.add_argument("--gs_dir", help="the folder for gs://; default: WORK_DIR/gs")
    parser.add_argument("--package", help="an sdist to install; default: built from this checkout")
    ours = list(argv)
    flags: list[str] = []
    if "--" in ours:
        flags = ours[ours.index("--") + 1 :]
        del ours[ours.index("--") :]
    options = parser.parse_args(ours)
    options.flags = flags
    return options


def _last_line(outcome: JobOutcome) -> str:
    starts = [f"{outcome.job_retries} retries of the job"] if outcome.job_retries else []
    starts += [f"{n} restarts of {name}" for name, n in outcome.worker_restarts.items()]
    after = ", ".join([f"after {outcome.seconds:.0f} s", *starts])
    if outcome.state == "succeeded":
        return f"succeeded: {outcome.cause} {after}"
    return f"{outcome.state.replace('_', ' ')}: {outcome.cause} ({after})"


class _Folders:
    """The folders of a run, absolute: replicas start in folders of their own."""

    def __init__(self, work_dir: Path, gs_dir: Path):
        self.work = work_dir.resolve()
        self.gs = gs_dir.resolve()
        self.logs = self.work / "logs"
        self.package = self.work / "package"
        self.logs.mkdir(parents=True, exist_ok=True)

    def of_replica(self, replica: Replica) -> str:
        """Where a replica starts: empty at first, as / of a container holds nothing of ours."""
        folder = self.work / "replicas" / replica.name
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)


def _make_view(stream: TextIO, replicas: Sequence[Replica], environ: Mapping[str, str]) -> LogView:
    use_colour = stream.isatty() and not environ.get("NO_COLOR")
    return LogView(stream, [replica.name for replica in replicas], use_colour=use_colour)


def _install(package_path: str | None, folders: _Folders, view: LogView) -> str:
    """The folder that the package is installed in, from its sdist as in the cloud."""
    if package_path is not None and Path(package_path).is_dir():
        return str(Path(package_path).resolve())
    if package_path is None:
        view.note("job: building the package")
        package_path = str(package.build_package(folders.work))
    elif not Path(package_path).is_file():
        raise UserError(f"--package must be an sdist; there is no file {package_path}")
    target = folders.package
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--upgrade"]
    done = subprocess.run(
        [*pip, *options, "--target", str(target), package_path],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise UserError(f"pip could not install {package_path}: {lines[-1]}")
    return str(target)


@contextlib.contextmanager
def _cloud(gs_endpoint: str | None, folder: Path, buckets: Sequence[str]) -> Iterator[str]:
    """The address of the emulator, with those buckets."""
    if gs_endpoint is None:
        with fake_cloud(str(folder), buckets) as endpoint:
            yield endpoint
    else:
        make_buckets(gs_endpoint, buckets)
        yield gs_endpoint


def _start(
    replica: Replica, folders: _Folders, view: LogView, environ: Mapping[str, str]
) -> ReplicaProcess:
    return ReplicaProcess(
        [sys.executable, "-m", "trainer.task", *replica.args],
        environ=environ,
        cwd=folders.of_replica(replica),
        log_path=str(folders.logs / f"{replica.name}.log"),
        show=lambda line, is_stderr: view.show(replica.name, line, is_stderr=is_stderr),
    )


@contextlib.contextmanager
def _signals_as_ctrl_c() -> Iterator[None]:
    """SIGTERM, and SIGHUP of a closed terminal, raise KeyboardInterrupt: they too leave nothing."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) != signal.SIG_IGN  # nohup
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
