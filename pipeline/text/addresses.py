"""Network addresses as people write them."""

import re

from pipeline.errors import UsageError


def host_and_port(address: str) -> tuple[str, int]:
    """'h1:9000' -> ('h1', 9000); '[::1]:9000' -> ('::1', 9000). Raises UsageError."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5})", address)
    if not match or not 0 < int(match[2]) < 65536:
        raise UsageError(f"the worker address '{address}' is not HOST:PORT with a port of 1 to 65535; write h1:9000")
    return match[1].strip("[]"), int(match[2])
