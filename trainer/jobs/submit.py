"""Submit a job file to Vertex AI: upload what it needs, check it, create it, follow it.

The composition of submit_job.py and submit_tuning.py, in the order in which things happen.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from trainer import cloud_files, storage
from trainer.errors import UserError
from trainer.jobs import package
from trainer.jobs.check import check_job
from trainer.jobs.cloud_trials import describe_trials, read_goals, read_trials
from trainer.jobs.follow import POLL_SECONDS, announce, follow
from trainer.jobs.job_file import JobFile, job_name, read_job_file
from trainer.jobs.job_flags import final_yaml, with_flags
from trainer.jobs.job_labels import make_labels, merge_labels, parse_labels
from trainer.jobs.job_service import (
    JobName,
    Place,
    add_place_options,
    connect,
    parse_job_name,
    read_place,
    refusals,
)
from trainer.jobs.job_uploads import (
    config_uri,
    own_packages,
    upload_config,
    upload_packages,
)
from trainer.jobs.trials import best_trial, flags_of
from trainer.redaction import shown

Kind = Literal["custom", "tuning"]

_SCRIPTS = {"custom": "scripts/submit_job.py", "tuning": "scripts/submit_tuning.py"}
_GCLOUD = {"custom": "gcloud ai custom-jobs create", "tuning": "gcloud ai hp-tuning-jobs create"}
# What configs/names.env holds before it is edited.
_EXAMPLES = re.compile(r"(?<![\w-])my-(?:project|bucket)(?![\w-])")


@dataclass(frozen=True)
class Submission:
    """All that is decided before anything leaves this machine.

    Attributes:
        job: as it will be submitted.
        name: display name.
        place: project and region.
        labels: of the job.
        config: local config to be uploaded, and where to; None without one.
        packages: gs:// paths that this checkout's package is uploaded to.
    """

    job: JobFile
    name: str
    place: Place
    labels: Mapping[str, str]
    config: tuple[str, str] | None = None
    packages: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def bucket(self) -> str:
        """Of the run's folder, or else BUCKET; '' where neither is stated."""
        uri = self.job.output_uri or ""
        return cloud_files.split(uri)[0] if storage.is_remote(uri) else self.names.get("BUCKET", "")

    @property
    def message(self) -> Any:
        """The CustomJob or HyperparameterTuningJob (protobuf): the file's, named and labelled."""
        from google.cloud.aiplatform_v1 import types

        message = self.job.to_message()
        if self.job.kind == "custom":
            message = types.CustomJob.pb()(job_spec=message)
        message.display_name = self.name
        message.labels.update(self.labels)
        return message

    def gcloud_line(self, yaml_path: str) -> str:
        """The command that creates the same job from the YAML at `yaml_path`."""
        labels = ",".join(f"{key}={value}" for key, value in self.labels.items())
        return shlex.join(
            [
                *_GCLOUD[self.job.kind].split(),
                f"--project={self.place.project}",
                f"--region={self.place.region}",
                f"--display-name={self.name}",
                f"--labels={labels}",
                f"--config={yaml_path}",
            ]
        )


def main(argv: Sequence[str], environ: Mapping[str, str], *, kind: Kind = "custom") -> None:
    """Submit the job file that `argv` names and follow it to its end.

    Raises:
        UserError: something is wrong with the job, the names or the account.
        TrainingFailed: the job failed.
        Interrupted: it was cancelled, or Ctrl-C ended the following.
    """
    options, flags = _parse(argv, kind)
    submission = prepare(options, flags, environ, kind)
    if options.dry_run:
        _show(submission)
        return
    client = connect(submission.place)
    if submission.config is not None:
        upload_config(*submission.config)
    upload_packages(submission.packages)
    name = create(client, submission)
    announce(name, print)
    if options.no_follow:
        return
    job = follow(
        client,
        name,
        submission.place,
        say=lambda line: print(line, flush=True),
        now=datetime.now,
        sleep=time.sleep,
        poll_seconds=options.poll_seconds,
    )
    _conclude(job, submission)


def prepare(
    options: argparse.Namespace, flags: Sequence[str], environ: Mapping[str, str], kind: Kind
) -> Submission:
    """What is to be submitted, checked; nothing is sent.

    Raises:
        UserError: the job file, the names, the labels or the flags are wrong.
    """
    place, names = read_place(options, options.job)
    names["JOB"] = job_name(options.job, datetime.now(timezone.utc), options.name)
    job = read_job_file(options.job, names)
    if job.kind != kind:
        raise UserError(
            f"{options.job} is a {job.kind} job; submit it with python {_SCRIPTS[job.kind]}"
        )
    if not options.dry_run:
        _refuse_examples(job, names)
    # The check reads the config where it is, since it is uploaded only if the check passes.
    own = [f"--config={options.config}"] if options.config else []
    config = None
    if options.config and not storage.is_remote(options.config):
        storage.read_bytes(options.config)  # It is missed here, and not when it is uploaded.
        config = options.config, config_uri(job, names)
    _check(with_flags(job, [*own, *flags]), names, is_online=not options.dry_run, upload=config)
    if config is not None:
        own = [f"--config={config[1]}"]
    # A tuning file may have labels of its own; a custom job's has no place for any.
    own_labels = job.values.get("labels") or {}
    return Submission(
        job=with_flags(job, [*own, *flags]),
        name=names["JOB"],
        place=place,
        labels=merge_labels(make_labels(environ), own_labels, options.labels),
        config=config,
        packages=own_packages(job),
        names=names,
    )


def create(client: Any, submission: Submission) -> JobName:
    """Create the job; gives its name, with the project as the user writes it.

    Raises:
        UserError: the service refuses it.
    """
    from google.cloud.aiplatform_v1 import types

    parent, message = submission.place.parent, submission.message
    account = submission.job.job_spec.get("serviceAccount") or ""
    with refusals(submission.place, f"gs://{submission.bucket}", str(account)):
        if submission.job.kind == "custom":
            job = client.create_custom_job(
                parent=parent, custom_job=types.CustomJob.wrap(message), timeout=120
            )
        else:
            job = client.create_hyperparameter_tuning_job(
                parent=parent,
                hyperparameter_tuning_job=types.HyperparameterTuningJob.wrap(message),
                timeout=120,
            )
    created = parse_job_name(job.name)
    place = submission.place
    return JobName(place.project, place.region, created.collection, created.number)


def _parse(argv: Sequence[str], kind: Kind) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the trainer's flags that stand after `--`."""
    argv = list(argv)
    cut = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(
        prog=f"python {_SCRIPTS[kind]}",
        usage=f"python {_SCRIPTS[kind]} JOB.yaml [options] [-- TRAINER FLAGS]",
        description="Submit a job file to Vertex AI and follow it to its end.",
        epilog="Flags after -- are given to every pool that runs the trainer, after the file's.",
    )
    parser.add_argument("job", metavar="JOB.yaml", help="a file of configs/")
    add_place_options(parser)
    parser.add_argument("--bucket", help="instead of BUCKET; without gs://")
    parser.add_argument("--image", help="instead of IMAGE")
    parser.add_argument("--name", help="display name, ${JOB} of the file (its name and the time)")
    parser.add_argument("--config", help="the trainer's config; a local one is uploaded")
    parser.add_argument(
        "--labels", type=parse_labels, default={}, metavar="KEY=VALUE,...", help="more labels"
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="show what would be done; needs no account"
    )
    parser.add_argument("--no_follow", action="store_true", help="return once it is submitted")
    parser.add_argument(
        "--poll_seconds", type=float, default=POLL_SECONDS, help="between looks (%(default)g)"
    )
    return parser.parse_args(argv[:cut]), argv[cut + 1 :]


def _check(
    job: JobFile, names: Mapping[str, str], *, is_online: bool, upload: tuple[str, str] | None
) -> None:
    """Prints what the check finds; UserError where that would make the job fail."""
    uploads = upload[:1] if upload else ()
    findings = check_job(job, names, read_data=is_online, uploads=uploads)
    errors = [finding for finding in findings if finding.severity == "error"]
    for finding in findings:
        if finding.severity != "error" or len(errors) > 1:
            print(finding, file=sys.stderr)
    if len(errors) == 1:
        raise UserError(f"{errors[0].where}: {errors[0].message}")
    if errors:
        raise UserError(f"{job.path} has {len(errors)} errors, see above; nothing was submitted")


def _refuse_examples(job: JobFile, names: Mapping[str, str]) -> None:
    """UserError where a name that the job uses is still the example of configs/names.env."""
    for name in ("PROJECT", "BUCKET", "IMAGE"):
        value = names.get(name, "")
        if _EXAMPLES.search(value) and (name == "PROJECT" or value in job.text):
            raise UserError(
                f"{name} is still {value!r}, the example of configs/names.env; put in yours there, "
                f"or pass --{name.lower()}=..."
            )


def _show(submission: Submission) -> None:
    """Prints the final YAML, which is also written, the uploads, and the gcloud line."""
    path = Path("runs", submission.name, "job.yaml")
    text = final_yaml(submission.job)
    storage.write_text(str(path), text)
    print(shown(text), end="")
    print(f"# The YAML above is in {path}. Nothing was uploaded or submitted. What would be done:")
    if submission.config is not None:
        print(f"gcloud storage cp {shlex.join(submission.config)}")
    if submission.packages:
        print(f"scripts/build_package.sh  # makes dist/{package.SDIST_NAME}")
    for uri in submission.packages:
        print(f"gcloud storage cp dist/{package.SDIST_NAME} {uri}  # only if changed")
    print(submission.gcloud_line(str(path)))


def _conclude(job: Any, submission: Submission) -> None:
    """Prints what a job that succeeded has left, and the next step."""
    if submission.job.kind == "custom":
        if submission.job.output_uri:
            print(f"model: {storage.join(submission.job.output_uri, 'model')}/")
        return
    print(describe_trials(job))
    best = best_trial(read_trials(job), read_goals(job))
    if best is not None:
        flags = shlex.join([*submission.job.trainer_args, *flags_of(best)])
        print("train the best, in the cloud or here:")
        print(f"  python scripts/submit_job.py configs/job_cpu.yaml -- {flags}")
        print(f"  python -m trainer.task {flags}")
