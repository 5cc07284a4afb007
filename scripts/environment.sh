# shellcheck shell=bash
# Sourced, not run. `use_environment EXTRAS` makes and activates the virtual environment .venv of
# this checkout with the project and those extras, and installs again only when setup.py or
# pyproject.toml changed. The Python is $PYTHON, or the newest of 3.12, 3.11, 3.10 that works.
# It decides when .venv is made; remove .venv to change it.

repository_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Prints a command on stderr, then runs it.
run() {
  printf '+ %s\n' "$*" >&2
  "$@"
}

# Prints the first Python that can make environments; a name on PATH may be a shim that cannot start.
find_python() {
  local candidate candidates=(python3.12 python3.11 python3.10 python3)
  if [[ -n ${PYTHON:-} ]]; then candidates=("$PYTHON"); fi
  for candidate in "${candidates[@]}"; do
    if "$candidate" -c 'import sys, venv, ensurepip
sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  printf 'error: Python 3.10, 3.11 or 3.12 with its venv module is needed; %s is not. %s\n' \
    "${PYTHON:-none of python3.12, python3.11, python3.10, python3 on PATH}" \
    'Install one (Debian and Ubuntu: python3-venv too) or set PYTHON to its path.' >&2
  return 2
}

use_environment() {
  local extras=$1
  local venv_dir=$repository_dir/.venv
  local stamp_path=$venv_dir/installed-$extras
  local python stamp

  # An environment without a working pip was interrupted while it was made, or lost its Python.
  if ! "$venv_dir/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    run "$python" -m venv --clear "$venv_dir"
  fi
  # shellcheck disable=SC1091
  source "$venv_dir/bin/activate"

  stamp=$(cd "$repository_dir" && cksum setup.py pyproject.toml)
  if [[ ! -f $stamp_path || $(<"$stamp_path") != "$stamp" ]]; then
    # -qq: errors only.
    run python -m pip install -qq --upgrade pip
    run python -m pip install -qq --editable "$repository_dir[$extras]"
    printf '%s\n' "$stamp" >"$stamp_path"
  fi
}
