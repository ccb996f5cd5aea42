"""The signs of life of a worker, in a pipe to its supervisor."""

import os

ALIVE = b"."
WAITS = b"w"  # it lives, and waits for others: nothing is lost with it
STARTS = b"s"  # a silence follows, as after the start of a process
REGROUPS = b"r"  # it ends so that the job goes on with other workers, and is to be started again


def give(pulse_fd: int, sign: bytes = ALIVE) -> None:
    """Gives a sign of life."""
    try:
        os.write(pulse_fd, sign)
    except OSError:  # the supervisor is gone, and its end ends this process by other means
        return
