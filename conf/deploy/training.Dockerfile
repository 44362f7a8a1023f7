# Training, evaluation, promotion: every entry point of MLproject. In the folder of the repository:
#   docker build -f conf/deploy/training.Dockerfile -t recstage-training .
#   docker run --rm --env MLFLOW_TRACKING_URI=... recstage-training recstage train als --data ml-100k --register
# An index with CPU builds of torch saves two gigabytes: --build-arg PIP_EXTRA_INDEX_URL=...
FROM python:3.11-slim-bookworm AS build
ARG PIP_EXTRA_INDEX_URL
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY constraints.txt pyproject.toml README.md MLproject ./
COPY src src
COPY serving serving
RUN pip install --constraint constraints.txt --editable ".[postgres]" boto3

FROM python:3.11-slim-bookworm
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home recstage \
 && install --directory --owner recstage --mode 0700 /app/data /app/mlruns
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
COPY conf /app/conf
COPY experiments /app/experiments
ENV PATH=/opt/venv/bin:$PATH RECSTAGE_HOME=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER 10001
VOLUME ["/app/data", "/app/mlruns"]
CMD ["recstage", "status"]
