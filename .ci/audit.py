"""Look the installed packages up among known weaknesses.

    python .ci/audit.py [FLAGS OF pip-audit]

Asks PyPI through pip-audit, about every package of the environment that it runs in. Exits 1 where a
weakness is known, and 0 where none is, or where nobody answers: then it says that the audit could
not be made, since a check that needs the internet must not stop those who have none.

A weakness that does not concern this project is passed over with --ignore-vuln=ID, its reason
beside it in .ci/run.
"""

import json
import subprocess
import sys

SECONDS = 600


def main(flags: list[str]) -> int:
    """Run pip-audit and give the exit code."""
    command = [sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off"]
    try:
        done = subprocess.run(
            [*command, "--desc=off", *flags],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return not_made(f"no answer in {SECONDS} s")
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        lines = done.stderr.strip().splitlines() or [f"pip-audit exited with {done.returncode}"]
        return not_made(lines[-1])
    looked_up = [package for package in packages if "skip_reason" not in package]
    if not looked_up:
        reasons = [package["skip_reason"] for package in packages]
        return not_made(reasons[0] if reasons else "no packages were found")
    weak = [package for package in looked_up if package["vulns"]]
    for package in weak:
        for weakness in package["vulns"]:
            fixed = " or ".join(weakness["fix_versions"]) or "no version yet"
            names = ", ".join([weakness["id"], *weakness.get("aliases", [])])
            print(f"audit: {package['name']} {package['version']}: {names}; mended in {fixed}")
    print(
        f"audit: {len(weak)} of {len(looked_up)} packages have known weaknesses; "
        f"{len(packages) - len(looked_up)} could not be looked up"
    )
    return 1 if weak else 0


def not_made(reason: str) -> int:
    """Say why there is no answer; gives the exit code."""
    print(f"audit: NOT MADE, so nothing is known about the packages: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
