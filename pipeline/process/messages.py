"""A message from this process to a command or a web address, within a bounded time."""

import contextlib
import http.client
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from pipeline.errors import UsageError

ATTEMPTS = 3
PAUSE_S = 1.0  # between attempts
WEB = ("http://", "https://")


def check(target: str, flag: str) -> None:
    """Raises UsageError for a target that is neither a web address with a host nor a command."""
    scheme, separator, _ = target.partition("://")
    if separator and scheme.isalnum() and not target.startswith(WEB):
        raise UsageError(f"{flag}={target} has an address of another kind; give http://…, https://… or a command")
    try:
        has_host = not target.startswith(WEB) or bool(urlsplit(target).hostname)
    except ValueError:
        has_host = False
    if not has_host:
        raise UsageError(f"{flag}={target} names no host; write it as https://HOST/PATH")


def shown(target: str) -> str:
    """The target without what may be secret: of a web address, the host alone."""
    return f"{target.partition('://')[0]}://{urlsplit(target).hostname}/…" if target.startswith(WEB) else target


def send(target: str, content: bytes, seconds_left: Callable[[], float]) -> str:
    """Sends JSON to a target: as the body of a POST, or on the stdin of a command that a shell runs.

    Tries ATTEMPTS times, while there are seconds left. Returns "", or the reason why it failed.
    """
    deliver = _post if target.startswith(WEB) else _run
    why = "no time was left"
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(max(0.0, min(PAUSE_S, seconds_left())))
        if (left := seconds_left()) <= 0:
            break
        if not (why := deliver(target, content, left)):
            break
    return why


def _post(address: str, content: bytes, timeout_s: float) -> str:
    request = urllib.request.Request(address, content, {"Content-Type": "application/json"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=timeout_s):
            return ""
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return f"{error.code} {reason}" if isinstance(error, urllib.error.HTTPError) else str(reason)


def _run(command: str, content: bytes, timeout_s: float) -> str:
    """Runs a command in a session of its own, whose processes are killed if they take too long."""
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        return error.strerror or str(error)
    try:
        process.communicate(content, timeout_s)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"it took longer than {timeout_s:.0f} s"
    return f"it ended with {process.returncode}" if process.returncode else ""
