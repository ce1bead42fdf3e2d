# One image for every part of Podsift: clock, workers, migration, and `podsift up` on a single box.
#
#   docker build -t podsift:0.1.0 .                         # CPU
#   docker build -t podsift:0.1.0-gpu --target gpu .        # with CUDA libraries, for Whisper on a GPU
#   docker build -t podsift:0.1.0-llama --target llama .    # with llama.cpp, for a language model on the CPU
#
# What is installed stands in requirements/*.txt with hashes; only wheels are taken, so no stage needs a compiler.
# To pin the base beyond its tag: --build-arg PYTHON_IMAGE=python:3.11.15-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm

# --- the wheel, built with locked tools ---
FROM ${PYTHON_IMAGE} AS wheel
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/build
COPY requirements/build.txt /src/requirements/
RUN /opt/build/bin/python -m pip install --no-deps --require-hashes --only-binary :all: -r /src/requirements/build.txt
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY pipeline pipeline
COPY templates templates
COPY migrations migrations
COPY samples samples
RUN /opt/build/bin/python -m hatchling build -t wheel -d /dist

# --- the packages, in a virtual environment without pip ---
FROM ${PYTHON_IMAGE} AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv --without-pip /opt/podsift && python -m venv /opt/pip
COPY requirements/image.txt /requirements/
RUN /opt/pip/bin/python -m pip --python /opt/podsift/bin/python install \
      --no-deps --require-hashes --only-binary :all: -r /requirements/image.txt
COPY --from=wheel /dist /dist
RUN /opt/pip/bin/python -m pip --python /opt/podsift/bin/python install --no-index --no-deps /dist/*.whl

FROM packages AS packages-gpu
COPY requirements/gpu.txt /requirements/
RUN /opt/pip/bin/python -m pip --python /opt/podsift/bin/python install \
      --no-deps --require-hashes --only-binary :all: -r /requirements/gpu.txt

FROM packages AS packages-llama
COPY requirements/llama.txt /requirements/
RUN /opt/pip/bin/python -m pip --python /opt/podsift/bin/python install \
      --no-deps --require-hashes --only-binary :all: -r /requirements/llama.txt

# --- what both images share ---
FROM ${PYTHON_IMAGE} AS base
# The data folder belongs to the user before a volume is mounted over it: a new named volume takes its owner from here.
RUN groupadd --gid 10001 podsift \
 && useradd --uid 10001 --gid podsift --home-dir /var/lib/podsift --no-create-home --shell /usr/sbin/nologin podsift \
 && install --directory --owner podsift --group podsift --mode 0700 /var/lib/podsift
ENV PATH=/opt/podsift/bin:$PATH \
    PODSIFT_DATA_DIR=/var/lib/podsift \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /var/lib/podsift
USER 10001:10001
# The default command is the whole of Podsift on SQLite; it needs an init as its parent (`docker run --init`).
HEALTHCHECK --interval=60s --timeout=15s --start-period=120s --retries=3 CMD ["podsift", "healthcheck"]
ENTRYPOINT ["podsift"]
CMD ["up"]

FROM base AS gpu
COPY --from=packages-gpu /opt/podsift /opt/podsift
# CTranslate2 looks for these libraries by name.
ENV LD_LIBRARY_PATH=/opt/podsift/lib/python3.11/site-packages/nvidia/cublas/lib:/opt/podsift/lib/python3.11/site-packages/nvidia/cudnn/lib:/opt/podsift/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM base AS llama
COPY --from=packages-llama /opt/podsift /opt/podsift

FROM base AS cpu
COPY --from=packages /opt/podsift /opt/podsift
