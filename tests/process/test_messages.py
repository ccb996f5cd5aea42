"""A message reaches a command or a web address, or says why not, in a bounded time."""

import http.server
import threading
import time
from contextlib import contextmanager

import pytest

from pipeline.errors import UsageError
from pipeline.process import messages


@contextmanager
def listening(*codes):
    """A web server that answers with these codes, one after another; yields its address and the bodies it got."""
    left, bodies = list(codes), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append((self.headers["Content-Type"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(left.pop(0))
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", bodies
    finally:
        server.shutdown()
        server.server_close()


def seconds(left: float):
    end = time.monotonic() + left
    return lambda: end - time.monotonic()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(messages, "PAUSE_S", 0.0)


def test_a_web_address_gets_the_body(monkeypatch):
    with listening(204) as (address, bodies):
        assert messages.send(address, b'{"a": 1}', seconds(30)) == ""
    assert bodies == [("application/json", b'{"a": 1}')]


def test_a_failure_is_tried_again_and_the_last_one_is_named():
    with listening(500, 503, 200) as (address, bodies):
        assert messages.send(address, b"{}", seconds(30)) == ""
    assert len(bodies) == 3
    with listening(500, 500, 404, 200) as (address, bodies):
        assert messages.send(address, b"{}", seconds(30)) == "404 Not Found"
    assert len(bodies) == messages.ATTEMPTS
    assert "refused" in messages.send("http://127.0.0.1:9/", b"{}", seconds(30))


def test_a_command_gets_it_on_stdin(tmp_path):
    assert messages.send(f"cat > '{tmp_path}/a b'", b'{"a": 1}', seconds(30)) == ""
    assert (tmp_path / "a b").read_bytes() == b'{"a": 1}'
    assert messages.send(f"echo x >> {tmp_path}/tries; exit 3", b"{}", seconds(30)) == "it ended with 3"
    assert (tmp_path / "tries").read_text() == "x\n" * messages.ATTEMPTS
    assert messages.send("exec true", b"x" * (1 << 20), seconds(30)) == ""  # it reads none of it


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path):
    why = messages.send(f"(sleep 2; touch {tmp_path}/alive) & sleep 100", b"{}", seconds(0.3))
    assert why.startswith("it took longer than")
    time.sleep(2.5)
    assert not (tmp_path / "alive").exists()
    assert messages.send("true", b"{}", seconds(0)) == "no time was left"


@pytest.mark.parametrize("target", ["ftp://host/a", "file:///etc/passwd", "https://", "http:///a", "https://[::1"])
def test_what_is_no_target_is_refused(target):
    with pytest.raises(UsageError, match="notify="):
        messages.check(target, "notify")


@pytest.mark.parametrize("target", ["https://host/a?b", "mail -s 'end' me", "curl https://host", "a=b://c d; e"])
def test_targets(target):
    messages.check(target, "notify")


def test_what_may_be_secret_of_an_address_is_not_shown():
    assert messages.shown("https://user:word@hooks.example.com/T0/secret?token=1") == "https://hooks.example.com/…"
    assert messages.shown("notify-send end") == "notify-send end"
