#!/usr/bin/env bash
# Builds the container image and pushes it: scripts/build_image.sh [cpu|gpu|tpu] [OPTIONS]
#
#   --cloud             build on Cloud Build instead of here; needs gcloud, not docker
#   --reduction_server  gpu only: with Google's NCCL plug-in for jobs with a reduction server
#   --no_push           build only (docker)
#   --names=FILE        instead of configs/names.env, whose IMAGE is built
#   --dry_run           print what would be run
#
# Two tags: IMAGE:DEVICE, which the job files name, and IMAGE:DEVICE-VERSION-REVISION, which stays.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

# Runs a command after printing it, or in a dry run only prints it.
run_or_show() {
  if [[ $dry_run == true ]]; then printf '+ %s\n' "$*"; else run "$@"; fi
}

read_options() {
  device=cpu is_cloud=false reduction_server=false push=true dry_run=false
  names_path=$repository_dir/configs/names.env
  local option
  for option in "$@"; do
    case $option in
      cpu | gpu | tpu) device=$option ;;
      --cloud) is_cloud=true ;;
      --reduction_server) reduction_server=true ;;
      --no_push) push=false ;;
      --names=*) names_path=${option#--names=} ;;
      --dry_run) dry_run=true ;;
      -h | --help) sed -n '2,/^set/ { /^set/d; s/^# \{0,1\}//; p; }' "${BASH_SOURCE[0]}"; exit 0 ;;
      *) fail "unknown argument '$option'; expected cpu, gpu, tpu, --cloud, --reduction_server," \
        "--no_push, --names=FILE or --dry_run" ;;
    esac
  done
  if [[ $reduction_server == true && $device != gpu ]]; then
    fail "--reduction_server is for the gpu image; received $device"
  fi
  if [[ $is_cloud == true && $push == false ]]; then
    fail "--no_push has no effect with --cloud: what Cloud Build makes exists only in the registry"
  fi
}

read_names() {
  if [[ ! -f $names_path ]]; then fail "no file $names_path; give --names=FILE"; fi
  PROJECT='' REGION='' BUCKET='' IMAGE=''
  # Read and not sourced: a file of names is data.
  local line name known value number=0
  local shape="^[[:space:]]*(export[[:space:]]+)?(PROJECT|REGION|BUCKET|IMAGE)="
  shape+="('[^']*'|\"[^\"]*\"|[^[:space:]\"'#]*)[[:space:]]*([[:space:]]#.*)?$"
  while IFS= read -r line || [[ -n $line ]]; do
    number=$((number + 1))
    if [[ $line =~ ^[[:space:]]*(#.*)?$ ]]; then continue; fi
    if [[ ! $line =~ $shape ]]; then fail "$names_path:$number must be NAME=value of a name of" \
      "configs/names.env; received '$line'"; fi
    name=${BASH_REMATCH[2]} value=${BASH_REMATCH[3]}
    if [[ $value != \'* ]]; then
      for known in PROJECT REGION BUCKET; do
        value=${value//"\${$known}"/"${!known}"} value=${value//"\$$known"/"${!known}"}
      done
    fi
    value=${value#[\"\']} value=${value%[\"\']}
    printf -v "$name" %s "$value"
  done <"$names_path"
  if [[ -z $IMAGE || -z $PROJECT ]]; then fail "$names_path must set PROJECT and IMAGE"; fi
  # A colon in the last part is a tag; before it, a registry's port.
  if [[ ${IMAGE##*/} == *:* ]]; then
    fail "IMAGE in $names_path must have no tag, as the tags are cpu, gpu and tpu; received $IMAGE"
  fi
  if [[ $PROJECT == my-project && $dry_run == false && $push == true ]]; then
    fail "$names_path still has the example's names; write your own"
  fi
}

# Version and git revision of the checkout, for the labels and the second tag.
read_version() {
  version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$repository_dir/trainer/__init__.py")
  revision=unknown
  if git -C "$repository_dir" rev-parse HEAD >/dev/null 2>&1; then
    revision=$(git -C "$repository_dir" rev-parse --short=12 HEAD)
    if [[ -n $(git -C "$repository_dir" status --porcelain) ]]; then revision+=-dirty; fi
  fi
  tags=("$IMAGE:$device" "$IMAGE:$device-$version-$revision")
}

# The arguments of `docker build`, here and on Cloud Build.
make_build_arguments() {
  build_arguments=(
    --build-arg "DEVICE=$device"
    --build-arg "VERSION=$version"
    --build-arg "REVISION=$revision"
    --build-arg "CREATED=$(date -u +%Y-%m-%dT%H:%M:%SZ)"
  )
  if [[ $reduction_server == true ]]; then
    build_arguments+=(--build-arg REDUCTION_SERVER=true)
  fi
  build_arguments+=(--tag "${tags[0]}" --tag "${tags[1]}" .)
}

build_here() {
  if [[ $dry_run == false ]]; then
    if ! command -v docker >/dev/null; then
      fail "docker is not installed. Install it, or let Cloud Build do it: $0 $device --cloud"
    fi
    if ! docker info >/dev/null 2>&1; then
      fail "docker's engine does not answer. Start it, or let Cloud Build do it: $0 $device --cloud"
    fi
  fi
  run_or_show docker build "${build_arguments[@]}"
  if [[ $push == true ]]; then
    run_or_show docker push "${tags[0]}"
    run_or_show docker push "${tags[1]}"
  fi
}

build_in_cloud() {
  if [[ $dry_run == false ]] && ! command -v gcloud >/dev/null; then
    fail "gcloud is not installed; see https://cloud.google.com/sdk/docs/install"
  fi
  config_path=$(mktemp --suffix=.yaml)
  trap 'rm -f "$config_path"' EXIT
  write_build_config >"$config_path"
  printf '# %s\n' "$config_path"
  cat "$config_path"
  # The same list of files for Cloud Build as for docker.
  run_or_show gcloud builds submit "--project=$PROJECT" "--config=$config_path" \
    --ignore-file=.dockerignore .
}

write_build_config() {
  local argument
  printf '%s\n' 'steps:' '- name: gcr.io/cloud-builders/docker' '  env: [DOCKER_BUILDKIT=1]' \
    '  args:' '  - build'
  for argument in "${build_arguments[@]}"; do printf '  - "%s"\n' "$argument"; done
  printf 'images: ["%s", "%s"]\n' "${tags[@]}"
  printf '%s\n' 'timeout: 3600s' 'options: {machineType: E2_HIGHCPU_8, diskSizeGb: 100}'
}

read_options "$@"
read_names
read_version
make_build_arguments
cd "$repository_dir"
if [[ $is_cloud == true ]]; then build_in_cloud; else build_here; fi
printf 'image: %s (pinned: %s)\n' "${tags[@]}"
