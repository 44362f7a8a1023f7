"""Load by `wrk`, against a server of this process."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from experiments.benchmarks.load_generator import get
from experiments.benchmarks.scale import wrk


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.paths.add(self.path)
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def server():
    if not wrk.installed():
        pytest.skip("wrk is not installed")
    found = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    found.paths = set()
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def test_every_request_of_a_list_is_sent_and_the_answers_are_counted(server):
    paths = {f"/lists?user_id={user}" for user in ("1", "a%20b", "%22")}
    found = wrk.ask(server.server_port, [get(path) for path in paths], seconds=1.0, connections=2)
    assert server.paths == paths
    assert found.a_second > 3
    assert 0 < found.cpu_seconds < 1.5


def test_a_request_that_fails_is_told(server):
    with pytest.raises(RuntimeError, match=r"\d+ of \d+ requests failed"):
        wrk.ask(server.server_port, [get("/missing")], seconds=1.0, connections=1)
