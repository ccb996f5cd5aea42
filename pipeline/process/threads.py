"""Threads that a process cannot do without."""

import threading
from collections.abc import Callable

from pipeline.process.exits import crash


def start_vital(target: Callable[[], None], name: str) -> threading.Thread:
    """Starts a thread in the background. If it ends with an error, so does the process, and says which."""

    def guarded() -> None:
        try:
            target()
        except BaseException:
            crash(f"the thread '{name}' failed, without which this process would go on unwatched")

    thread = threading.Thread(target=guarded, name=name, daemon=True)
    thread.start()
    return thread
