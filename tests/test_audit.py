""".ci/audit.py, with canned answers of pip-audit, and with the real one where it is installed."""

import importlib.util
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from runs import ROOT

CLEAN = {"name": "numpy", "version": "2.1.0", "vulns": []}
WEAK = {
    "name": "pyyaml",
    "version": "5.3",
    "vulns": [
        {"id": "PYSEC-2021-142", "fix_versions": ["5.4"], "aliases": ["CVE-2020-14343"]},
        {"id": "PYSEC-X", "fix_versions": []},
    ],
}
UNKNOWN = {"name": "ours", "skip_reason": "Dependency not found on PyPI: ours (0.1)"}


def audit(*flags, **variables):
    return subprocess.run(
        [sys.executable, ROOT / ".ci" / "audit.py", *flags],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def canned(tmp_path):
    """Runs the audit with a pip-audit that prints this and exits with that."""

    def run(stdout, code=0, stderr=""):
        package = tmp_path / "pip_audit"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(
            f"import sys\nprint({stdout!r})\nprint({stderr!r}, file=sys.stderr)\nsys.exit({code})\n"
        )
        return audit(PYTHONPATH=str(tmp_path))

    return run


def test_known_weakness_fails(canned):
    done = canned(json.dumps({"dependencies": [CLEAN, WEAK, UNKNOWN]}), code=1)

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        "audit: pyyaml 5.3: PYSEC-2021-142, CVE-2020-14343; mended in 5.4",
        "audit: pyyaml 5.3: PYSEC-X; mended in no version yet",
        "audit: 1 of 2 packages have known weaknesses; 1 could not be looked up",
    ]


def test_no_known_weakness_passes(canned):
    done = canned(json.dumps({"dependencies": [CLEAN, UNKNOWN]}))

    assert done.returncode == 0
    expected = "audit: 0 of 1 packages have known weaknesses; 1 could not be looked up\n"
    assert done.stdout == expected


@pytest.mark.parametrize(
    ("stdout", "code", "stderr", "reason"),
    [
        # An index that has the packages and not what is known about them.
        (json.dumps({"dependencies": [UNKNOWN]}), 0, "", "Dependency not found on PyPI: ours"),
        (json.dumps({"dependencies": []}), 0, "", "no packages were found"),
        ("", 1, "log\nERROR: connection refused", "ERROR: connection refused"),
        ("", 3, "", "pip-audit exited with 3"),
    ],
)
def test_audit_that_cannot_be_made_says_so_and_passes(canned, stdout, code, stderr, reason):
    done = canned(stdout, code, stderr)

    assert done.returncode == 0
    start = "audit: NOT MADE, so nothing is known about the packages: "
    assert done.stdout.startswith(start + reason) and done.stdout.count("\n") == 1


class Service(BaseHTTPRequestHandler):
    """The query of OSV: one package is weak."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9"}]}]
        package = {"name": "pip", "ecosystem": "PyPI"}
        weakness = {
            "id": "PYSEC-1",
            "published": "2026-01-01T00:00:00Z",
            "summary": "s",
            "affected": [{"package": package, "ranges": ranges, "versions": []}],
        }
        is_weak = asked["name"] == "pip" and self.server.has_weakness
        body = json.dumps({"vulns": [weakness]} if is_weak else {}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("has_weakness", [True, False])
def test_real_pip_audit_with_a_service_of_ours(has_weakness, tmp_path):
    if importlib.util.find_spec("pip_audit") is None:
        pytest.skip("pip-audit is not installed")
    server = HTTPServer(("127.0.0.1", 0), Service)
    server.has_weakness = has_weakness
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"--osv-url=http://127.0.0.1:{server.server_port}/v1/query"

    done = audit("--vulnerability-service=osv", url, NO_PROXY="127.0.0.1")

    server.shutdown()
    server.server_close()
    assert done.returncode == int(has_weakness), done.stdout + done.stderr
    assert ("audit: pip " in done.stdout) == has_weakness
    assert ("PYSEC-1; mended in 9" in done.stdout) == has_weakness


@pytest.mark.slow
def test_real_pip_audit_without_a_service(tmp_path):
    if importlib.util.find_spec("pip_audit") is None:
        pytest.skip("pip-audit is not installed")

    done = audit("--vulnerability-service=osv", "--osv-url=http://127.0.0.1:1/", "--timeout=2")

    assert done.returncode == 0 and done.stdout.startswith("audit: NOT MADE")
    assert "Traceback" not in done.stdout
