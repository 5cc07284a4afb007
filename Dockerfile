# The trainer as a container for Vertex AI, for CPUs, GPUs or TPUs:
#
#   scripts/build_image.sh [cpu|gpu|tpu]
#   docker build --build-arg DEVICE=cpu --tag wide-and-deep:cpu .
#
# A change of the code rebuilds the last, small layers only: seconds. A change of setup.py installs
# everything again: minutes.
#
# The base is pinned to a patch release. To pin the very bytes, append the digest of
# `docker buildx imagetools inspect python:3.11.14-slim-bookworm`, as TAG@sha256:DIGEST, to BASE.

ARG BASE=python:3.11.14-slim-bookworm
ARG DEVICE=cpu

# ---- everything the trainer needs, from setup.py alone, so that code changes do not touch it
FROM ${BASE} AS dependencies
ARG DEVICE
# TPU only: tensorflow-tpu 2.20 asks for 0.0.14 or later, and pip would take one that is a year
# newer. Empty: the newest.
ARG LIBTPU=0.0.14
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:${PATH}
WORKDIR /build
COPY setup.py ./
RUN echo "libtpu${LIBTPU:+==}${LIBTPU}" > constraints.txt \
    && pip install --no-cache-dir --constraint constraints.txt ".[${DEVICE}]" \
    && pip uninstall --yes wide-and-deep-trainer \
    # C++ headers: 290 of 1800 MB (TensorFlow 2.21, cpu), which only building custom ops needs.
    && rm -rf /opt/venv/lib/python3*/site-packages/tensorflow/include

# ---- the trainer itself, a few hundred kilobytes
FROM dependencies AS package
COPY pyproject.toml ./
COPY trainer ./trainer
RUN pip install --no-cache-dir --no-deps --target /opt/package .

# ---- what every device has
FROM ${BASE} AS runtime
# A user without rights: code and packages belong to root, and it writes in its home and in /tmp.
# That is enough: local files are scratch only, AIP_MODEL_DIR and the like are gs:// paths.
# Documented: the service runs the entry point of the image. Of its user nothing is said; the
# prebuilt images' logs show root. Not verified, for want of an account: that /gcs, which the service
# mounts, can be read as this user. If not, build with --build-arg RUN_AS=root, or use gs:// paths.
# There is no compiler in it, and no cache; pip stays, as it is in the base too.
RUN useradd --create-home --uid 1000 trainer
COPY --from=dependencies /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONPATH=/opt/package \
    PYTHONUNBUFFERED=1 \
    # Read-only for the user, and compiled when it was installed.
    PYTHONDONTWRITEBYTECODE=1

FROM runtime AS device-cpu
ARG RUN_AS=trainer
USER ${RUN_AS}

FROM runtime AS device-gpu
ARG RUN_AS=trainer
# true adds Google's NCCL plug-in, which jobs with a reduction server need.
# Source: the service's page on distributed training.
ARG REDUCTION_SERVER=false
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN if [[ ${REDUCTION_SERVER} == true ]]; then \
      apt-get update; \
      apt-get install --yes --no-install-recommends ca-certificates curl gnupg; \
      key=/usr/share/keyrings/google-cloud.gpg; \
      curl -fsSL https://packages.cloud.google.com/apt/doc/apt-key.gpg | gpg --dearmor > "$key"; \
      echo "deb [signed-by=$key] https://packages.cloud.google.com/apt google-fast-socket main" \
        > /etc/apt/sources.list.d/google-fast-socket.list; \
      apt-get update; \
      apt-get install --yes --no-install-recommends google-reduction-server; \
      apt-get purge --yes --auto-remove curl gnupg; \
      rm -rf /var/lib/apt/lists/*; \
      ldconfig; \
    fi
USER ${RUN_AS}

FROM runtime AS device-tpu
# No USER: the devices of a TPU VM belong to root. Not verified that no other user may open them.
# v5e runs through PJRT, and the service expects the library there.
# Source: the service's page on training with TPU VMs.
ENV NEXT_PLUGGABLE_DEVICE_USE_C_API=true \
    TF_PLUGGABLE_DEVICE_LIBRARY_PATH=/lib/libtpu.so
RUN ln -s /opt/venv/lib/python3*/site-packages/libtpu/libtpu.so /lib/libtpu.so

# ---- the image
# hadolint ignore=DL3006
FROM device-${DEVICE} AS image
COPY --from=package /opt/package /opt/package
WORKDIR /home/trainer
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
ARG DEVICE
LABEL org.opencontainers.image.title="wide-and-deep-trainer" \
      org.opencontainers.image.description="Wide-and-deep models on tables for Vertex AI, ${DEVICE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
ENTRYPOINT ["python", "-m", "trainer.task"]
