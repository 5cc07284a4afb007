"""The JobService of Vertex AI on localhost, for the SDK (REST) and the real gcloud.

As strict as the service: an unknown field, a wrong enum or a duration that is none is refused with
status 400. A job is PENDING when created, RUNNING at the first look, then what it ends as; with
`run`, a function runs it in a thread and says how it ended.
"""

import http.server
import json
import os
import re
import threading
from collections import deque
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from google.auth.credentials import AnonymousCredentials
from google.cloud.aiplatform_v1 import types
from google.protobuf import json_format

KINDS = {
    "customJobs": types.CustomJob,
    "hyperparameterTuningJobs": types.HyperparameterTuningJob,
}
STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"} | {
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
ENDED = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED")
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


class FakeVertex:
    """The service while the `with` block lasts.

    Attributes:
        url: its address, `http://127.0.0.1:PORT`.
        jobs: resource name -> the job as the service shows it, camelCase with enums as names.
        records: resource name -> what is kept of ML metadata, and evaluations by their parent.
        requests: (method, path without query, body as JSON or None) of every call, in order.
    """

    def __init__(self, run=None, *, outcome="JOB_STATE_SUCCEEDED", error=""):
        """Without `run` every job ends as `outcome`, with `error` as its message.

        `run(job)` gets the stored job, may change it (`job["trials"]`), and gives the final state
        or (final state, error message).
        """
        self.jobs = {}
        self.requests = []
        self.records = {}
        self._run = run
        self._outcome = outcome
        self._error = error
        self._refusals = deque()
        self._threads = []
        self._lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        for thread in self._threads:
            thread.join(timeout=300)
        self._server.shutdown()
        self._server.server_close()

    def refuse(self, status, message, *, reason=None, skip=0):
        """Answer one call with this error: the next, or after `skip` more calls.

        `reason` is what the service gives in ErrorInfo, e.g. SERVICE_DISABLED.
        """
        self._refusals.append([skip, status, message, reason])

    def answer(self, method, path, body, query=""):
        """(HTTP status, JSON) of a call."""
        with self._lock:
            self.requests.append((method, path, json.loads(body) if body else None))
            if self._refusals:
                if not self._refusals[0][0]:
                    return _error(*self._refusals.popleft()[1:])
                self._refusals[0][0] -= 1
            if re.search(r"/metadataStores\b|/evaluations:import$", path):
                return self._record(method, path.split("/", 2)[2], json.loads(body or "{}"), query)
            found = re.fullmatch(
                r"/v1(?:beta1)?/(projects/[^/]+/locations/[^/]+)/(\w+)(?:/(\w+))?(:\w+)?", path
            )
            if not found or found[2] not in KINDS:
                return _error(404, f"The requested URL {path} was not found on this server.")
            parent, kind, job_id, verb = found.groups()
            if method == "POST" and job_id is None:
                return self._create(parent, kind, body)
            if method == "GET" and job_id is None:
                prefix = f"{parent}/{kind}/"
                return 200, {kind: [j for n, j in self.jobs.items() if n.startswith(prefix)]}
            job = self.jobs.get(f"{parent}/{kind}/{job_id}")
            if job is None:
                name = found[2][0].upper() + found[2][1:-1]
                return _error(404, f'The {name} "{parent}/{kind}/{job_id}" does not exist.')
            if method == "POST" and verb == ":cancel":
                if job["state"] not in ENDED:
                    self._end(job, "JOB_STATE_CANCELLED", "")
                return 200, {}
            return (200, self._look_at(job)) if method == "GET" else _error(400, "no such method")

    def _record(self, method, path, body, query):
        """Calls about ML metadata and evaluations: what was created or patched is shown."""
        name, _, verb = path.partition(":")
        if verb == "import":
            evaluation = types.ModelEvaluation.pb()()
            json_format.ParseDict(body["modelEvaluation"], evaluation)
            self.records[name] = json_format.MessageToDict(evaluation)
            return 200, {**body["modelEvaluation"], "name": f"{name}/1"}
        if verb:
            return 200, {}
        if method == "POST":
            ids = [v for k, v in parse_qsl(query) if k.endswith("Id")]
            name = f"{name}/{ids[0]}"
            self.records[name] = {**body, "name": name}
            if name.endswith("/metadataStores/default"):
                store = "type.googleapis.com/google.cloud.aiplatform.v1.MetadataStore"
                response = {"@type": store, "name": name}
                return 200, {"name": f"{name}/operations/1", "done": True, "response": response}
            return 200, self.records[name]
        if name.rsplit("/", 1)[1] in ("contexts", "executions", "artifacts"):
            return 200, {}
        if name not in self.records:
            return _error(404, f"{name} was not found.")
        if method == "PATCH":
            self.records[name] |= body
        return 200, self.records[name]

    def _create(self, parent, kind, body):
        message = KINDS[kind].pb()()
        try:
            json_format.Parse(body, message)
            job = json_format.MessageToDict(message)
            _check(job, kind)
        except (json_format.ParseError, ValueError) as error:
            return _error(400, str(error))
        number = 4000000000000000000 + len(self.jobs) + 1
        job["name"] = f"{parent}/{kind}/{number}"
        job["createTime"] = job["updateTime"] = _time(0)
        job["state"] = "JOB_STATE_PENDING"
        self.jobs[job["name"]] = job
        if self._run is not None:
            thread = threading.Thread(target=self._run_to_the_end, args=(job,), daemon=True)
            self._threads.append(thread)
            thread.start()
        return 200, dict(job)

    def _look_at(self, job):
        """The job, one state further than at the last look where no `run` says otherwise."""
        shown = json.loads(json.dumps(job))
        if self._run is None and job["state"] == "JOB_STATE_PENDING":
            job["state"] = "JOB_STATE_RUNNING"
            job["startTime"] = _time(60)
        elif self._run is None and job["state"] == "JOB_STATE_RUNNING":
            if "studySpec" in job:
                job["trials"] = example_trials(job)
            self._end(job, self._outcome, self._error)
        return shown

    def _run_to_the_end(self, job):
        with self._lock:
            job["state"] = "JOB_STATE_RUNNING"
            job["startTime"] = _time(60)
        try:
            result = self._run(job)
        except Exception as error:  # noqa: BLE001  # the job fails with it
            result = "JOB_STATE_FAILED", f"Internal error: {error!r}"
        state, message = (result, "") if isinstance(result, str) else result
        with self._lock:
            if job["state"] not in ENDED:
                self._end(job, state, message)

    def _end(self, job, state, message):
        job["state"] = state
        job["endTime"] = job["updateTime"] = _time(660)
        if message:
            job["error"] = {"code": 3, "message": message}


def gcloud_environment(url, folder):
    """Variables with which the real gcloud talks to the fake alone; `folder` takes its files."""
    return {
        **os.environ,
        "CLOUDSDK_CONFIG": str(Path(folder) / "gcloud"),
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM": f"{url}/",
        "CLOUDSDK_CORE_PROJECT": "my-project",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
    }


def init_sdk(url, *, project="my-project", region="us-central1", bucket="bucket"):
    """Point google.cloud.aiplatform of this process to the fake; gives the module."""
    from google.cloud import aiplatform

    aiplatform.init(
        project=project,
        location=region,
        staging_bucket=f"gs://{bucket}",
        credentials=AnonymousCredentials(),
        api_endpoint=url,
        api_transport="rest",
    )
    return aiplatform


def example_trials(job):
    """Trials of a tuning job as the service shows them: maxTrialCount of them, all done.

    Trial i of n has every parameter at (i - 1) / max(1, n - 1) of its range, and 1 / i as the value
    of the first metric.
    """
    count = job["maxTrialCount"]
    metric = job["studySpec"]["metrics"][0]["metricId"]
    return [
        {
            "id": str(number),
            "state": "SUCCEEDED",
            "parameters": [
                {"parameterId": p["parameterId"], "value": _value(p, number - 1, count)}
                for p in job["studySpec"]["parameters"]
            ],
            "finalMeasurement": {
                "stepCount": str(100 * number),
                "metrics": [{"metricId": metric, "value": 1 / number}],
            },
            "startTime": _time(60),
            "endTime": _time(60 + 30 * number),
        }
        for number in range(1, count + 1)
    ]


def _value(parameter, step, count):
    part = step / max(1, count - 1)
    for kind in ("doubleValueSpec", "integerValueSpec"):
        if kind in parameter:
            low, high = (float(parameter[kind].get(end, 0)) for end in ("minValue", "maxValue"))
            value = low + part * (high - low)
            # The service gives whole numbers as doubles.
            return value if kind == "doubleValueSpec" else float(round(value))
    spec = parameter.get("discreteValueSpec") or parameter["categoricalValueSpec"]
    return spec["values"][round(part * (len(spec["values"]) - 1))]


def _check(job, kind):
    """What the service refuses beyond the shape of the message; ValueError."""
    if not 1 <= len(job.get("displayName", "")) <= 128:
        raise ValueError("display_name must be 1 to 128 characters")
    for key, value in job.get("labels", {}).items():
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}=[a-z0-9_-]{0,63}", f"{key}={value}"):
            raise ValueError(f"label {key}={value} has other than [a-z0-9_-] or is too long")
    spec = job.get("jobSpec" if kind == "customJobs" else "trialJobSpec", {})
    pools = spec.get("workerPoolSpecs", [])
    if not pools:
        raise ValueError("worker_pool_specs must not be empty")
    for index, pool in enumerate(pools):
        tasks = {"containerSpec", "pythonPackageSpec"} & set(pool)
        if pool and len(tasks) != 1:
            raise ValueError(
                f"worker_pool_specs[{index}]: one of container_spec, python_package_spec is needed"
            )
        if pool and "machineType" not in pool.get("machineSpec", {}):
            raise ValueError(f"worker_pool_specs[{index}].machine_spec.machine_type is required")
    if int(pools[0].get("replicaCount", 0)) != 1:
        raise ValueError("worker_pool_specs[0].replica_count must be 1")
    if kind == "hyperparameterTuningJobs":
        if not job.get("studySpec", {}).get("metrics") or not job["studySpec"].get("parameters"):
            raise ValueError("study_spec needs metrics and parameters")
        if not 1 <= job.get("parallelTrialCount", 0) <= job.get("maxTrialCount", 0):
            raise ValueError("parallel_trial_count must be from 1 to max_trial_count")


def _error(status, message, reason=None):
    error = {"code": status, "status": STATUS[status], "message": message}
    if reason is not None:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        error["details"] = [{"@type": kind, "reason": reason, "domain": "googleapis.com"}]
    return status, {"error": error}


def _time(seconds):
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _handler_for(fake):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self._answer("GET")

        def do_POST(self):
            self._answer("POST")

        def do_PATCH(self):
            self._answer("PATCH")

        def _answer(self, method):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urlsplit(self.path)
            status, answer = fake.answer(method, url.path, body, url.query)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    return Handler
