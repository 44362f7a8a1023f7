"""An artifact store that refuses, behind MLflow's server or spoken to directly, ends in one clear line."""

from __future__ import annotations

import http.server
import threading

import pytest

from recstage.errors import StoreError
from recstage.tracking import translate_store_errors


class Failing(http.server.BaseHTTPRequestHandler):
    """MLflow's server where its artifact store does not answer."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(500)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def failing():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Failing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("content")
    return str(path)


def test_behind_the_mlflow_server(failing, file, monkeypatch):
    from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    repository = MlflowArtifactsRepository(f"{failing}/api/2.0/mlflow-artifacts/artifacts/runs", tracking_uri=failing)
    with pytest.raises(StoreError, match="or its artifact store does not answer"), translate_store_errors(failing):
        repository.log_artifact(file)


def test_spoken_to_directly(file, monkeypatch):
    pytest.importorskip("boto3", reason="boto3 is not installed: pip install boto3")
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    line = r"s3://mlflow: the S3-compatible artifact store does not answer. Start it, or correct MLFLOW_S3_ENDPOINT_URL"
    with pytest.raises(StoreError, match=line), translate_store_errors("s3://mlflow"):
        S3ArtifactRepository("s3://mlflow/runs").log_artifact(file)
