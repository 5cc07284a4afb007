#!/usr/bin/env bash
# Runs the tests on all cores: scripts/test.sh [PYTEST ARGUMENTS], for example -m slow -n 0.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

use_environment cpu,dev
cd "$repository_dir"
run python -m pytest --numprocesses=auto --dist=worksteal "$@"
