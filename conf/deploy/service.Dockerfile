# The service, without what only trains. In the folder of the repository:
#   docker build -f conf/deploy/service.Dockerfile -t recstage-service .
FROM python:3.11-slim-bookworm AS build
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY constraints.txt conf/deploy/service-requirements.txt ./
RUN pip install --constraint constraints.txt --requirement service-requirements.txt
COPY pyproject.toml README.md MLproject ./
COPY src src
COPY serving serving
RUN pip install --no-deps --editable .

FROM python:3.11-slim-bookworm
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home recstage \
 && install --directory --owner recstage --mode 0700 /app/data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
COPY conf /app/conf
ENV PATH=/opt/venv/bin:$PATH RECSTAGE_HOME=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1 \
    RECSTAGE_SERVING_HOST=0.0.0.0
WORKDIR /app
USER 10001
VOLUME /app/data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/live', timeout=2)"]
CMD ["python", "-m", "serving"]
