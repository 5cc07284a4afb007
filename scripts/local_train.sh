#!/usr/bin/env bash
# Trains on this machine: scripts/local_train.sh [FLAGS OF trainer.task]. Works from any folder;
# the first call makes .venv in the checkout (minutes), later ones start at once.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

use_environment cpu
printf '+ %s\n' "python -m trainer.task $*" >&2
exec python -m trainer.task "$@"
