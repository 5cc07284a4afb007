"""Cloud Storage as it is on a bad day: the emulator, with faults at a set rate, and honest.

In front of gcp-storage-emulator, in threads of this process. A share of the requests gets 429, 500
or 503, a connection that is cut (before the request is served, amid the answer, after it took
effect, or before it takes effect late), or a delay. What the emulator ignores is honoured as Cloud
Storage does it: `generation`, ifGenerationMatch (0: only where there is none), ifGenerationNotMatch
and ifMetagenerationMatch, for resumable uploads too, whose last chunk may be sent again.

Every change of an object is kept in a journal, in order. `broken_promises` replays it.
"""

import email.utils
import io
import json
import random
import re
import threading
import time
import zlib
from collections import Counter
from functools import partial
from http import server as http_server
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from gcp_storage_emulator import server as emulator
from gcp_storage_emulator.storage import Storage

STATUSES = ("429", "500", "503")
CUTS = ("cut before", "cut amid", "cut after", "late")
FAULTS = (*STATUSES, *CUTS, "delay")
REASONS = {404: "Not Found", 412: "Precondition Failed", 429: "Too Many Requests"}


class Change(NamedTuple):
    """An object was written, or deleted (`content` is None)."""

    name: str
    content: bytes | None


class FlakyStorage:
    """An endpoint for STORAGE_EMULATOR_HOST within a `with` block, with an empty bucket."""

    def __init__(
        self, *, rate=0.0, seed=0, faults=FAULTS, delay_seconds=0.3, late_seconds=1.0, days_ahead=0
    ):
        """Prepare.

        Args:
            rate: share of the requests that meet a fault, 0 to 1; may be changed meanwhile.
            seed: of the faults, in the order of the requests.
            faults: the kinds, equally likely.
            delay_seconds: of a `delay`.
            late_seconds: after which a `late` request takes effect.
            days_ahead: of the server's clock.
        """
        self.rate, self.counts, self.journal = rate, Counter(), []
        self.is_away = False
        self.objects = Storage(use_memory_fs=True)
        self.seconds_ahead = 86_400 * days_ahead
        self._random, self._faults = random.Random(seed), faults
        self._delay_seconds, self._late_seconds = delay_seconds, late_seconds
        self._lock = threading.Lock()
        self._uploads, self._finished = {}, {}
        self._server = http_server.ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(_Handler, self, self.objects)
        )
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # A client that is killed is no news.
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        emulator.buckets.create_bucket("bucket", self.objects)

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def read(self, name):
        """The content of an object of the bucket."""
        return self.objects.get_file("bucket", name)

    def names(self):
        """Of all objects of the bucket, sorted."""
        return sorted(self.objects.objects.get("bucket", {}))

    def draw(self):
        """The fault of the next request; '' for none."""
        with self._lock:
            self.counts["requests"] += 1
            if self.is_away:
                fault = self._random.choice(("503", "cut before"))
            elif self._random.random() < self.rate:
                fault = self._random.choice(self._faults)
            else:
                fault = ""
            self.counts[fault or "served"] += 1
            return fault

    def serve(self, handler, method, body, fault):
        """The whole answer; None where the connection is cut without one."""
        if fault == "delay":
            time.sleep(self._delay_seconds)
        elif fault in STATUSES:
            return _answer(int(fault), "try again")
        elif fault == "cut before":
            return None
        elif fault == "late":
            threading.Timer(self._late_seconds, self._apply, (handler, method, body)).start()
            return None
        answer = self._apply(handler, method, body)
        return None if fault == "cut after" else answer

    def _apply(self, handler, method, body):
        """Let the emulator serve a request whose preconditions hold; note what it changed."""
        url = urlsplit(handler.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        with self._lock:
            upload_id = query.get("upload_id")
            if upload_id in self._finished:
                return self._finished[upload_id]
            name, query = self._uploads.get(upload_id) or (_object_name(url, query, body), query)
            if refusal := self._refusal(name, query, is_upload=method in ("POST", "PUT")):
                self.counts[refusal] += 1
                return _answer(refusal, "conditionNotMet" if refusal == 412 else "notFound")
            before = self._generation(name)
            answer = handler.route(method, body)
            after = self._generation(name)
            if before != after:
                content = self.objects.get_file("bucket", name) if after else None
                self.journal.append(Change(name, content))
                if after and self.seconds_ahead:
                    self._shift_dates(name)
                if upload_id:
                    self._finished[upload_id] = answer
            elif location := re.search(rb"upload_id=([^\s&]+)", answer):
                self._uploads[unquote(location[1].decode()).replace("+", " ")] = name, query
            return answer

    def _refusal(self, name, query, is_upload):
        present = self.objects.objects.get("bucket", {}).get(name)
        generation = int(present["generation"]) if present else 0
        metageneration = int(present["metageneration"]) if present else 0
        if "generation" in query and int(query["generation"]) != generation:
            return 404
        for key, actual in (
            ("ifGenerationMatch", generation),
            ("ifMetagenerationMatch", metageneration),
        ):
            if key in query and int(query[key]) != actual:
                return 412 if present or is_upload else 404
        if int(query.get("ifGenerationNotMatch", -1)) == generation:
            return 412
        return None

    def _generation(self, name):
        present = self.objects.objects.get("bucket", {}).get(name)
        return int(present["generation"]) if present else 0

    def _shift_dates(self, name):
        moment = time.gmtime(time.time() + self.seconds_ahead)
        text = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", moment)
        self.objects.objects["bucket"][name] |= {"updated": text, "timeCreated": text}


class _Handler(emulator.RequestHandler):
    """A connection, of one request."""

    def __init__(self, flaky, storage, *arguments):
        self.flaky = flaky
        super().__init__(storage, *arguments)

    def _handle(self):
        connection = self.wfile
        body = emulator._read_raw_data(self) or b""
        fault = self.flaky.draw()
        answer = self.flaky.serve(self, self.command, body, fault)
        self.wfile = connection
        if fault == "cut amid":
            # Not in the head, which comes whole or not at all, in one record of TLS.
            head = answer.index(b"\r\n\r\n") + 4
            answer = answer[: head + (len(answer) - head) // 2]
        if answer is not None:
            connection.write(answer)
        self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _handle

    def route(self, method, body):
        """The emulator's answer."""
        del self.headers["Transfer-Encoding"], self.headers["Content-Length"]
        self.headers["Content-Length"] = str(len(body))
        self.rfile, self.wfile = io.BytesIO(body), io.BytesIO()
        emulator.Router(self).handle(method)
        return self.wfile.getvalue()

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(time.time() + self.flaky.seconds_ahead, usegmt=True)


def _answer(status, message):
    body = json.dumps({"error": {"code": status, "message": message}}).encode()
    head = f"HTTP/1.0 {status} {REASONS.get(status, 'Error')}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _object_name(url, query, body):
    """The object of a request; '' for a request about the bucket."""
    if named := re.search(r"/b/bucket/o/(.+)$", url.path):
        return unquote(named[1])
    if "uploadType" not in query:
        return ""
    if "name" in query:
        return query["name"]
    # The first JSON of the body: the whole of it, or the first part of a multipart one.
    start = body.index(b"{")
    return json.JSONDecoder().raw_decode(body[start : start + 4096].decode(errors="replace"))[0][
        "name"
    ]


SEALS = ("manifest.json", "saved_model.pb", "COMPLETE")


def broken_promises(journal):
    """What stood half-visible at any moment: [] is right.

    While a folder has its seal (a checkpoint's manifest.json, a model's saved_model.pb, a run's
    COMPLETE) nothing else in it changes, and when the seal is set everything it promises is there.
    """
    present, broken = {}, []
    for name, content in journal:
        folder, _, last = name.rpartition("/")
        for seal in SEALS:
            parts = name.split("/")[:-1]
            for depth in range(1, len(parts) + 1):
                sealed = "/".join([*parts[:depth], seal])
                if sealed in present and name != sealed and last != "LOCK":
                    broken.append(f"{name} changed while {sealed} stood")
        if content is None:
            present.pop(name, None)
            continue
        present[name] = content
        if last == "manifest.json":
            for file, (size, checksum) in json.loads(content).items():
                found = present.get(f"{folder}/{file}", b"")
                if (len(found), zlib.crc32(found)) != (size, checksum):
                    broken.append(f"{name} was set while {file} was not there")
        elif last == "saved_model.pb" and f"{folder}/variables/variables.index" not in present:
            broken.append(f"{name} was set without its variables")
        elif last == "COMPLETE":
            missing = {f"{folder}/model/saved_model.pb", f"{folder}/report.json"} - set(present)
            broken += [f"{name} was set without {file}" for file in sorted(missing)]
    return broken
