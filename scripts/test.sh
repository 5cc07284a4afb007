#!/usr/bin/env bash
# Runs the tests: scripts/test.sh [PYTEST ARGUMENTS], for example -n auto, or -m slow.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

use_environment cpu,dev
cd "$repository_dir"
run python -m pytest "$@"
