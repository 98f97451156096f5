# syntax=docker/dockerfile:1
# One image for the API and the workers. The default torch runs on the CPU; for NVIDIA GPUs:
#   docker build --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cu130 .
FROM python:3.12-slim AS build

ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/ringside
ENV PATH=/opt/ringside/bin:$PATH
WORKDIR /src

# torch first, from its own index: it is large and changes least.
COPY constraints.txt ./
RUN pip install --index-url "$TORCH_INDEX_URL" --extra-index-url https://pypi.org/simple \
    --constraint constraints.txt torch

COPY pyproject.toml README.md ./
COPY ganmodels ./ganmodels
COPY worker ./worker
COPY service ./service
RUN pip install --constraint constraints.txt .

FROM python:3.12-slim

RUN useradd --create-home --uid 1000 ringside \
    && install --directory --owner ringside --group ringside /data
COPY --from=build /opt/ringside /opt/ringside
ENV PATH=/opt/ringside/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RINGSIDE_HOME=/data \
    RINGSIDE_HOST=0.0.0.0 \
    RINGSIDE_PORT=8000
USER ringside
WORKDIR /home/ringside
VOLUME /data
EXPOSE 8000
ENTRYPOINT ["ringside"]
CMD ["up"]
