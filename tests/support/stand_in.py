"""Stands for a worker: does what its arguments say, one after the other. It imports nothing heavy.

pulse               from now on a pulse every 50 ms, in a thread
sign:LETTER         one other sign in the pipe of pulses
sleep:SECONDS       say:TEXT    part:TEXT (without a line's end)
exit:CODE           signal:NAME (to itself)
ignore              SIGTERM, from now on
leave:CODE          from now on, the code to end with on SIGTERM; what signal came is printed
first:FILE:ACT      does ACT only if FILE does not lie there yet; makes it
save:DIR:MOST       writes one more manifest than lies there, MOST at most
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path


def pulse() -> None:
    while True:
        os.write(int(os.environ["PIPELINE_PULSE_FD"]), b".")
        time.sleep(0.05)


def leave(code: str):
    def handler(number, frame):
        os.write(1, f"{signal.Signals(number).name}\n".encode())  # whole, whoever else writes there
        os._exit(int(code))

    return handler


def act(text: str) -> None:
    name, _, rest = text.partition(":")
    if name == "pulse":
        threading.Thread(target=pulse, daemon=True).start()
    elif name == "sleep":
        time.sleep(float(rest))
    elif name == "sign":
        os.write(int(os.environ["PIPELINE_PULSE_FD"]), rest.encode())
    elif name == "say":
        os.write(1, f"{rest}\n".encode())
    elif name == "part":
        os.write(1, rest.encode())
    elif name == "exit":
        sys.exit(int(rest))
    elif name == "signal":
        os.kill(os.getpid(), signal.Signals[rest])
    elif name == "ignore":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif name == "leave":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, leave(rest))
    elif name == "first":
        file, _, later = rest.partition(":")
        if not Path(file).exists():
            Path(file).touch()
            act(later)
    elif name == "save":
        directory, _, most = rest.partition(":")
        step = len(list(Path(directory).iterdir()))
        if step < int(most):
            Path(directory, f"ckpt-{step}.manifest.json").touch()
    else:
        raise ValueError(text)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        act(argument)
