#!/usr/bin/env bash
# Builds the sdist and the wheel, then proves them: scripts/build_package.sh [OPTIONS]
#
#   --out_dir=DIR   where the files go; dist in the checkout
#   --image=PACKAGES   what the image has: TensorFlow alone, the newest that is supported. For
#       Google's TF 2.17 image, with PYTHON=python3.10:
#       --image='tensorflow-cpu==2.17.1 google-cloud-storage'
#
# The proof does what Google's prebuilt images do: an environment with those packages, pip twice on
# the sdist with --user (first --force-reinstall --no-deps, then with dependencies), and
# `python3 -m trainer.task` from another folder. It fails when a package that the image has would be
# replaced. Takes one to two minutes, most of it TensorFlow; $PYTHON chooses the Python.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

read_options() {
  out_dir=$repository_dir/dist
  # Without CUDA stubs, for x86 Linux only.
  image_packages=('tensorflow>=2.17,<2.22')
  if [[ $(uname -sm) == 'Linux x86_64' ]]; then image_packages=('tensorflow-cpu>=2.17,<2.22'); fi
  local option
  for option in "$@"; do
    case $option in
      --out_dir=?*) out_dir=$(realpath -m "${option#--out_dir=}") ;;
      --image=?*) read -ra image_packages <<<"${option#--image=}" ;;
      -h | --help) sed -n '2,/^set/ { /^set/d; s/^# \{0,1\}//; p; }' "${BASH_SOURCE[0]}"; exit 0 ;;
      *) fail "unknown argument '$option'; expected --out_dir=DIR or --image=PACKAGES" ;;
    esac
  done
}

# A build environment of its own, so that nothing but pip's index is needed.
build() {
  run "$python" -m venv "$work_dir/build"
  run "$work_dir/build/bin/python" -m pip install -qq build setuptools wheel
  sdist_path=$(cd "$repository_dir" &&
    run "$work_dir/build/bin/python" -m trainer.jobs.package --wheel "--out_dir=$out_dir")
  wheel_path=$(find "$out_dir" -name 'wide_and_deep_trainer-*.whl' -newer "$work_dir/build/pyvenv.cfg")
}

# The environment of a prebuilt image: its packages, what they need, and nothing of ours.
make_image() {
  run "$python" -m venv "$work_dir/image"
  run "$work_dir/image/bin/python" -m pip install -qq "${image_packages[@]}"
  # pip refuses --user where the environment hides the user's folder. This shows the folder, and
  # keeps the packages of the Python below hidden: site.py reads .pth files of the environment
  # before it goes through the other prefixes.
  sed -i 's/^\(include-system-site-packages = \).*/\1true/' "$work_dir/image/pyvenv.cfg"
  find "$work_dir/image/lib" -name site-packages -maxdepth 2 \
    -exec sh -c 'echo "import site; site.PREFIXES.clear()" >"$1/only_this.pth"' _ {} \;
}

# Runs python3 of the image as the service does: in /, with the user's folder before the image's.
in_image() (
  cd /
  unset PYTHONPATH VIRTUAL_ENV
  export PATH=$work_dir/image/bin:$PATH PYTHONUSERBASE=$work_dir/user HOME=$work_dir
  PYTHONPATH=$(python3 -c 'import site; print(site.getusersitepackages())')
  export PYTHONPATH
  "$@"
)

installed_versions() {
  in_image python3 -c 'import importlib.metadata as m
print(*sorted({f"{d.name}=={d.version}" for d in m.distributions()}), sep="\n")'
}

prove_sdist() {
  installed_versions >"$work_dir/before.txt"
  # In the image pip would silently put another version before the image's own; here it refuses.
  if ! run in_image pip3 install -qq --user --upgrade --force-reinstall --no-deps "$sdist_path" ||
    ! run in_image pip3 install -qq --user "$sdist_path"; then
    fail "installing the package fails, or would replace what the image has; see pip's line above"
  fi
  installed_versions >"$work_dir/after.txt"
  if [[ -n $(comm -23 "$work_dir/before.txt" "$work_dir/after.txt") ]]; then
    fail "installing the package replaced $(comm -23 "$work_dir/before.txt" "$work_dir/after.txt")"
  fi
  in_image python3 -m trainer.task --help >/dev/null
  if ! run in_image python3 -m trainer.task --steps=64 --baseline=none "--job_dir=$work_dir/run" \
    >"$work_dir/run.log" 2>&1 || [[ ! -f $work_dir/run/model/saved_model.pb ]]; then
    cat "$work_dir/run.log" >&2
    fail "the installed package does not train; its output is above"
  fi
  grep 'test  *model' "$work_dir/run.log"
  in_image python3 -c "import trainer; assert trainer.__file__.startswith('$work_dir/user/')"
}

# The wheel carries the same files as what the sdist installed.
prove_wheel() {
  run in_image pip3 install -qq --no-deps --target "$work_dir/wheel" "$wheel_path"
  local installed
  installed=$(dirname "$(in_image python3 -c 'import trainer; print(trainer.__file__)')")
  diff -r --exclude=__pycache__ "$installed" "$work_dir/wheel/trainer"
}

read_options "$@"
python=$(find_python)
work_dir=$(mktemp -d)
trap 'rm -rf "$work_dir"' EXIT
started=$SECONDS
build
make_image
prove_sdist
prove_wheel
printf 'proved in %s s with %s:\n' $((SECONDS - started)) \
  "$(grep -i '^tensorflow.*==' "$work_dir/before.txt" | head -1)"
printf '%s (%s bytes)\n' "$sdist_path" "$(wc -c <"$sdist_path")" "$wheel_path" "$(wc -c <"$wheel_path")"
