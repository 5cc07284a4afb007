"""The job service of Vertex AI: where it is, the client, and in one line why it refused.

Calls go over REST, as those of the tests do. Must not know what a job is made of.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from trainer.errors import UserError
from trainer.jobs.job_file import NAMES_HELP, default_names_path, read_names

LOGIN = "gcloud auth application-default login"
# Name -> what it looks like; the project's id may have an organisation before it.
_SHAPES = {
    "PROJECT": (r"[a-z0-9][a-z0-9.:-]*", "my-project, an id and not a display name"),
    "REGION": (r"[a-z]+(-[a-z]+)+\d+", "us-central1"),
    "BUCKET": (r"[a-z0-9][a-z0-9._-]+", "my-bucket, without gs://"),
}
# What stands in a resource name -> gcloud's name of the kind of job.
_COMMANDS = {"customJobs": "custom-jobs", "hyperparameterTuningJobs": "hp-tuning-jobs"}


@dataclass(frozen=True)
class Place:
    """Where jobs run: a project and a region, at an endpoint if it is not the public one."""

    project: str
    region: str
    endpoint: str = ""

    @property
    def parent(self) -> str:
        """What the resource names of its jobs begin with."""
        return f"projects/{self.project}/locations/{self.region}"

    @property
    def host(self) -> str:
        """Address of the service."""
        return self.endpoint or f"{self.region}-aiplatform.googleapis.com"


@dataclass(frozen=True)
class JobName:
    """A job's resource name in its parts; `collection` is customJobs or the like."""

    project: str
    region: str
    collection: str
    number: str

    def __str__(self) -> str:
        """The name as the service writes it."""
        return f"projects/{self.project}/locations/{self.region}/{self.collection}/{self.number}"

    @property
    def console_url(self) -> str:
        """Its page in the console."""
        return (
            f"https://console.cloud.google.com/agent-platform/locations/{self.region}/"
            f"training/{self.number}?project={self.project}"
        )

    @property
    def logs_url(self) -> str:
        """Its lines in Cloud Logging."""
        query = quote(f'resource.type="ml_job"\nresource.labels.job_id="{self.number}"')
        return f"https://console.cloud.google.com/logs/query;query={query}?project={self.project}"

    def command(self, verb: str) -> str:
        """The gcloud command that does `verb` (stream-logs, cancel, describe) to the job."""
        return (
            f"gcloud ai {_COMMANDS[self.collection]} {verb} {self.number} "
            f"--project={self.project} --region={self.region}"
        )


def parse_job_name(text: str) -> JobName:
    """The parts of a full resource name.

    >>> parse_job_name("projects/p/locations/r/customJobs/7").number
    '7'

    Raises:
        UserError: it is none.
    """
    match = re.fullmatch(r"projects/([^/]+)/locations/([^/]+)/(\w+)/(\w+)", text)
    if match is None or match[3] not in _COMMANDS:
        raise UserError(
            "a job's name is projects/PROJECT/locations/REGION/customJobs/NUMBER or .../"
            f"hyperparameterTuningJobs/NUMBER; received {text!r}"
        )
    return JobName(*match.groups())


def connect(place: Place) -> Any:
    """The client of google-cloud-aiplatform for jobs in that region.

    An endpoint in plain http:// is called without credentials: none may be sent over it.

    Raises:
        UserError: google-cloud-aiplatform is not installed, or there are no credentials.
    """
    try:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import aiplatform_v1
    except ImportError as error:
        raise UserError(
            f"google-cloud-aiplatform is not installed ({error}); "
            "pip install 'wide-and-deep-trainer[vertex]'"
        ) from error
    is_plain = place.endpoint.startswith("http://")
    with refusals(place):
        return aiplatform_v1.JobServiceClient(
            credentials=AnonymousCredentials() if is_plain else None,
            transport="rest",
            client_options={"api_endpoint": place.host},
        )


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """Give a command the options that `read_place` reads."""
    parser.add_argument("--names", help=NAMES_HELP)
    parser.add_argument("--project", help="instead of PROJECT")
    parser.add_argument("--region", help="instead of REGION")
    parser.add_argument(
        "--api_endpoint",
        default="",
        help="address of the service where it is not the public one: a private endpoint; one "
        "with http:// is called without credentials, as tests do",
    )


def read_place(options: argparse.Namespace, job_path: str = "") -> tuple[Place, dict[str, str]]:
    """Where the command's jobs run, and all names with the options over those of the file.

    Args:
        options: of a command with `add_place_options`.
        job_path: the job file that it is about, if there is one.

    Raises:
        UserError: project or region is not stated anywhere, or the file is malformed.
    """
    path = options.names or default_names_path(job_path)
    names = read_names(path) if path else {}
    for name in ("PROJECT", "REGION", "BUCKET", "IMAGE"):
        given = getattr(options, name.lower(), None)
        if given:
            names[name] = given
    for name, (pattern, example) in _SHAPES.items():
        value = names.get(name)
        if not value and name != "BUCKET":
            raise UserError(
                f"{name} is not set; write it into {path or 'configs/names.env'} or pass "
                f"--{name.lower()}=..."
            )
        if value and not re.fullmatch(pattern, value):
            raise UserError(f"{name} must be like {example}; received {value!r}")
    return Place(names["PROJECT"], names["REGION"], options.api_endpoint), names


@contextmanager
def refusals(place: Place, bucket: str = "", service_account: str = "") -> Iterator[None]:
    """Turns what the service or the network refuses into a UserError that says what to do.

    `bucket` and `service_account` are those of the job, to be named in the advice.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        message = _explain(error, place, bucket, service_account or "the job's service account")
        if message is None:
            raise
        raise UserError(message) from error


def is_passing(error: Exception) -> bool:
    """Whether a later call may succeed: the network is down, or the service busy."""
    from google.api_core import exceptions
    from google.auth.exceptions import TransportError
    from requests.exceptions import RequestException

    passing = (exceptions.ServerError, exceptions.TooManyRequests, TransportError, RequestException)
    return isinstance(error, passing)


def _explain(error: Exception, place: Place, bucket: str, service_account: str) -> str | None:
    """What a user can do about an error of the Google client; None for any other error."""
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError, TransportError
    from requests.exceptions import RequestException

    if isinstance(error, TransportError | RequestException):
        return (
            f"cannot reach {place.host} ({_network_cause(error)}); check REGION {place.region!r} "
            "and the network"
        )
    if isinstance(error, GoogleAuthError | exceptions.Unauthorized):
        return f"no valid Google credentials ({_first_line(error)}); run {LOGIN}"
    if not isinstance(error, exceptions.GoogleAPICallError):
        return None
    said = _said(error)
    if isinstance(error, exceptions.Forbidden):
        return _explain_forbidden(error.reason or "", said, place, service_account)
    if isinstance(error, exceptions.TooManyRequests):
        return f"no quota for this job in {place.region}: {said}; {quota_advice(place)}"
    if re.search(r"must be in the same regional location|match(es)? (the )?endpoint", said):
        return (
            f"regions do not match: {said}; REGION is {place.region}"
            + (f" and BUCKET is {bucket}" if bucket else "")
            + ": use a bucket of that very region (no multi-region), or set REGION to the bucket's"
        )
    if isinstance(error, exceptions.NotFound):
        return f"not found in project {place.project}, region {place.region}: {said}"
    if isinstance(error, exceptions.ServerError):
        return f"the service at {place.host} fails ({said}); try again in some minutes"
    return f"the service refuses the job: {said}"


def _explain_forbidden(reason: str, said: str, place: Place, service_account: str) -> str:
    """Advice for status 403; `reason` is that of ErrorInfo, '' where the service gave none."""
    project = place.project
    if reason == "SERVICE_DISABLED" or "has not been used in project" in said:
        return (
            f"the Vertex AI API is not enabled in project {project}; run "
            f"gcloud services enable aiplatform.googleapis.com --project={project}"
        )
    if reason == "BILLING_DISABLED" or "billing" in said.lower():
        return (
            f"project {project} has no billing: {said}; enable it at "
            f"https://console.cloud.google.com/billing/linkedaccount?project={project}"
        )
    if reason in ("CONSUMER_INVALID", "USER_PROJECT_DENIED") or "on resource project" in said:
        return (
            f"project {project} does not exist, or your account has no access to it ({said}); "
            "PROJECT must be a project's id, see gcloud projects list"
        )
    if "actAs" in said:
        return (
            f"you may not run jobs as {service_account} ({said}); ask for the role "
            "roles/iam.serviceAccountUser on that account"
        )
    return (
        f"your account has no right to do this in project {project} ({said}); ask for the role "
        "roles/aiplatform.user in that project"
    )


def quota_advice(place: Place) -> str:
    """Where quota is seen and asked for, and what else helps."""
    return (
        "ask for more at https://console.cloud.google.com/iam-admin/quotas?project="
        f"{place.project} (service aiplatform.googleapis.com), or choose another machine or region"
    )


def _said(error: Any) -> str:
    """The service's own words on one line; the client puts method and address before them."""
    text = " ".join(str(error.message).split())
    return re.sub(r"^(?:GET|POST) \S+: ", "", text).rstrip(".")


def _network_cause(error: Exception) -> str:
    """The system's reason, which stands deep inside what the layers above it say."""
    reason = re.search(r"\[Errno -?\d+\] [\w ]+|timed out", str(error))
    return reason[0] if reason else type(error).__name__


def _first_line(error: Exception) -> str:
    lines: Sequence[str] = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")[:200]
