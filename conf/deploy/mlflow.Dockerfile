# An MLflow server with accounts (basic authentication), PostgreSQL and S3, of the version that recstage is pinned to.
#   docker build -f conf/deploy/mlflow.Dockerfile -t recstage-mlflow .
FROM python:3.11-slim-bookworm
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 MLFLOW_DISABLE_TELEMETRY=true
COPY constraints.txt /tmp/constraints.txt
RUN pip install --constraint /tmp/constraints.txt "mlflow[auth]" psycopg2-binary boto3 \
 && useradd --uid 10001 --create-home mlflow
USER 10001
WORKDIR /home/mlflow
EXPOSE 5000
CMD ["sh", "-c", "exec mlflow server --app-name basic-auth --host 0.0.0.0 --port 5000 --backend-store-uri \"$BACKEND_STORE_URI\" --artifacts-destination \"$ARTIFACTS_DESTINATION\" --serve-artifacts"]
