"""A quick answer on whether a host delivers."""

import http.server
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from keras_ft.data import reachability


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.mark.parametrize("status", [200, 403, 404])
def test_a_host_that_answers(server: str, status: int) -> None:
    assert reachability.unreachable([f"{server}/{status}"] * 2) is None


def test_a_proxy_that_does_not_get_through(server: str) -> None:
    assert "503" in str(reachability.unreachable([f"{server}/503"]))


def test_a_proxy_that_is_not_there(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("no_proxy", "")
    assert reachability.unreachable([f"{server}/200"]) is not None


def test_a_silent_host_costs_only_the_time_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.gz"
        began = time.monotonic()
        assert reachability.unreachable([url], seconds=0.3) is not None
        assert time.monotonic() - began < 3
