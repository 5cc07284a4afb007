"""Checks of what the job tells the trainer: its arguments, its config, its strategy."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from trainer import storage
from trainer.cli import load_config
from trainer.config import SECTIONS, Config
from trainer.config_errors import describe_findings
from trainer.errors import UserError
from trainer.flags import FLAGS, information, parse_flags
from trainer.jobs.check_data import Cloud, cloud_path
from trainer.jobs.check_pools import task_path
from trainer.jobs.findings import Finding, error, warning
from trainer.jobs.job_fields import Path
from trainer.jobs.job_file import JobFile
from trainer.jobs.machines import find_machine
from trainer.metric_names import resolve_monitor
from trainer.sections import Key

# What the trainer sees on Vertex AI that its arguments are judged by.
_ENVIRONMENT = {"CLOUD_ML_PROJECT_ID": "1"}


@dataclass(frozen=True)
class Run:
    """What the first pool tells the trainer.

    Attributes:
        args: its arguments, with the config where it can be read from here.
        config: what they make; None where its file cannot be read, or something in it is wrong.
        can_be_read: whether the file of the config could be read.
    """

    args: tuple[str, ...]
    config: Config | None
    can_be_read: bool

    def with_flags(self, flags: Mapping[str, str]) -> Config | None:
        """The config with further flags, as a trial is started; None where it cannot be read.

        Raises:
            UserError: they break a rule.
        """
        added = [f"--{name}={value}" for name, value in flags.items()]
        if not self.can_be_read:
            _check_single_flags([*self.args, *added])
            return None
        return _load([*self.args, *added])


def read_run(
    job: JobFile, cloud: Cloud, uploads: Collection[str] = ()
) -> tuple[list[Finding], Run | None]:
    """What the trainer is told, and what its own parser says to that; None where it is not run."""
    if not job.pools or not job.pools[0].runs_trainer:
        return [], None
    path: Path = (*task_path(job, job.pools[0]), "args")
    args = list(job.trainer_args)
    if information(args) is not None or "--print_config" in args:
        return [error(job, path, "only print something and end; nothing is trained")], None
    try:
        flags = parse_flags(args)
    except UserError as failure:
        return [error(job, _place(job, path, args, str(failure)), str(failure))], None
    findings: list[Finding] = []
    can_be_read = flags.config_path is None
    if flags.config_path is not None:
        at = _place(job, path, args, "--config ")
        if flags.config_path not in uploads:
            findings += _check_config_path(job, at, flags.config_path)
        local = cloud_path(flags.config_path)
        args.append(f"--config={local}")
        try:
            can_be_read = _can_read(local, cloud)
        except UserError as failure:
            return [*findings, error(job, at, str(failure))], None
    run = Run(tuple(args), None, can_be_read)
    try:
        config = run.with_flags({})
        if config is not None:
            resolve_monitor(config.training.monitor, config.label.task, config.model.loss)
    except UserError as failure:
        at = _place(job, path, args, str(failure))
        return [*findings, error(job, at, str(failure))], Run(tuple(args), None, can_be_read)
    return findings, Run(tuple(args), config, can_be_read)


def check_run(job: JobFile, run: Run) -> Iterator[Finding]:
    """Findings about a run beside the pools that it runs on."""
    path: Path = (*task_path(job, job.pools[0]), "args")
    flags = parse_flags(run.args).layer

    def setting(section: str, name: str) -> object:
        if run.config is not None:
            return getattr(getattr(run.config, section), name)
        return flags.get(Key(section, name), SECTIONS[section].model_fields[name].default)

    yield from _check_strategy(job, path, str(setting("training", "strategy")))
    batch_size = setting("training", "batch_size")
    if str(batch_size).isdecimal():
        yield from _check_batch(job, path, int(str(batch_size)))
    scheduling = job.job_spec.get("scheduling", {})
    if scheduling.get("strategy") == "SPOT":
        if setting("training", "resume") == "restart":
            yield error(
                job,
                _place(job, path, run.args, "--resume "),
                "a preempted SPOT job would begin anew each time; use --resume=auto",
            )
        if str(setting("training", "checkpoint_seconds")) == "0" and (
            str(setting("training", "checkpoint_steps")) == "0"
        ):
            yield error(
                job,
                _place(job, path, run.args, "--checkpoint_seconds "),
                "without checkpoints a preempted SPOT job loses everything; set it to 300",
            )
    for name in ("job_dir", "model_dir", "checkpoint_dir"):
        folder = flags.get(Key("output", name))
        if folder and not str(folder).startswith(("gs://", "/gcs/")):
            yield error(
                job,
                _place(job, path, run.args, f"--{name} "),
                f"{folder} is on the disk of the machine, which vanishes with it; use gs://",
            )


def _check_strategy(job: JobFile, path: Path, strategy: str) -> Iterator[Finding]:
    """The strategy must be the one that the pools are made for."""
    pools = job.pools
    machine = find_machine(pools[0].machine_type or "")
    on_tpu = machine is not None and machine.is_tpu
    servers = any(pool.role == "ps" and pool.replicas for pool in pools)
    replicas = sum(pool.replicas for pool in pools if pool.role in ("chief", "worker"))
    num_gpus = pools[0].accelerator_count if not on_tpu else 0
    at = _place(job, path, job.trainer_args, "--strategy ")
    if strategy == "auto":
        return
    if on_tpu != (strategy == "tpu"):
        needed = "a TPU" if strategy == "tpu" else "no TPU"
        yield error(
            job,
            at,
            f"--strategy={strategy} needs {needed}; the first pool is "
            f"{pools[0].machine_type}. Use --strategy=auto",
        )
    elif servers != (strategy == "parameter_server"):
        has = "has" if servers else "has no"
        yield error(
            job,
            at,
            f"--strategy={strategy} does not fit: the job {has} parameter servers "
            "in the third pool. Use --strategy=auto",
        )
    elif not servers and (replicas > 1) != (strategy == "multi_worker_mirrored"):
        yield error(
            job,
            at,
            f"--strategy={strategy} does not fit the chief and {replicas - 1} "
            "worker(s) of the pools; several need multi_worker_mirrored. Use "
            "--strategy=auto",
        )
    elif strategy == "one_device" and num_gpus > 1:
        yield warning(
            job,
            at,
            f"--strategy=one_device leaves {num_gpus - 1} of {num_gpus} GPUs idle; use mirrored",
        )


def _check_batch(job: JobFile, path: Path, batch_size: int) -> Iterator[Finding]:
    """A batch is cut into equal parts for all devices of a synchronous job."""
    pools = job.pools
    if any(pool.role == "ps" and pool.replicas for pool in pools):
        return
    num_devices = sum(
        pool.replicas * max(1, pool.accelerator_count)
        for pool in pools
        if pool.role in ("chief", "worker")
    )
    if num_devices > 1 and batch_size % num_devices:
        lower = batch_size // num_devices * num_devices
        yield error(
            job,
            _place(job, path, job.trainer_args, "--batch_size "),
            f"batch_size must be a multiple of the {num_devices} devices; received {batch_size}. "
            f"Use {f'{lower} or ' if lower else ''}{lower + num_devices}",
        )


def _check_config_path(job: JobFile, at: Path, config_path: str) -> Iterator[Finding]:
    if storage.is_remote(cloud_path(config_path)):
        return
    message = f"{config_path} is a path of this machine, not of the job's; copy it to gs://"
    if job.pools[0].module is not None or not config_path.startswith("/"):
        yield error(job, at, message)
    else:
        yield warning(job, at, f"{message}, unless the image has it")


def _can_read(path: str, cloud: Cloud) -> bool:
    """Whether the config's file is readable from here.

    Raises:
        UserError: Cloud Storage says that there is none.
    """
    if not storage.is_remote(path):
        with contextlib.suppress(UserError):
            return bool(storage.read_bytes(path)) or True
        return False
    return cloud.ask(lambda: storage.read_bytes(path)) is not None


def _load(args: list[str]) -> Config:
    environ = {**_ENVIRONMENT, "AIP_MODEL_DIR": "gs://bucket/run/model/"}
    return load_config(args, environ).config


def _check_single_flags(args: list[str]) -> None:
    """Each flag by itself, where the file that they change is not known.

    Raises:
        UserError: a value that its setting does not take.
    """
    for key, value in parse_flags(args).layer.items():
        section = SECTIONS[key.section]
        try:
            section.model_validate({key.name: value})
        except ValidationError as failure:
            if any(detail["loc"][:1] == (key.name,) for detail in failure.errors()):
                message = describe_findings(failure, section)
                raise UserError(f"--{message}") from failure


def _place(job: JobFile, path: Path, args: tuple[str, ...] | list[str], message: str) -> Path:
    """Where the last argument that a message begins with stands; else where all stand."""
    first = message.split(" ")[0].rstrip(":;,").split("=")[0].strip("'")
    for index in reversed(range(len(job.trainer_args))):
        name = args[index].split("=")[0]
        if (
            name == first
            or repr(args[index]) in message
            or (name.removeprefix("--") in FLAGS and _names(message, name))
        ):
            return (*path, index)
    return path


def _names(message: str, flag: str) -> bool:
    key = FLAGS[flag.removeprefix("--")]
    return f"{flag} " in f"{message} " or str(key) in message
