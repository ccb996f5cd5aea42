"""The messages between workers: sealed with the job's secret, and read without trust. PURE.

A datagram or line is read by `opened`, then `value_of`, then `Word.read`. None of them raises, whatever the bytes are.
"""

import dataclasses
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

SEAL_BYTES = 64  # hexadecimal digits of HMAC-SHA256
MOST_DEPTH = 6  # of brackets in brackets
MOST_NUMBER = 1 << 64
LONGEST_NAME, LONGEST_MESSAGE = 64, 4000  # characters

Farewell = Mapping[str, Any]  # the code and the message with which a worker leaves


def sealed(payload: bytes, secret: bytes) -> bytes:
    """The payload behind its seal; the bare payload where there is no secret."""
    return _seal(payload, secret) + payload if secret else payload


def opened(message: bytes, secret: bytes) -> bytes | None:
    """The payload of a message that was sealed with this secret; None for any other."""
    if not secret:
        return message
    seal, payload = message[:SEAL_BYTES], message[SEAL_BYTES:]
    return payload if hmac.compare_digest(seal, _seal(payload, secret)) else None


def _seal(payload: bytes, secret: bytes) -> bytes:
    return hmac.new(secret, payload, hashlib.sha256).hexdigest().encode()


def value_of(payload: bytes) -> Any:
    """The JSON value of some bytes; None if they hold none, one too deep, a number out of range, or a key twice."""
    try:
        value = json.loads(payload, object_pairs_hook=_without_doubles, parse_constant=_refused)
    except (ValueError, RecursionError):
        return None
    return value if _is_modest(value, MOST_DEPTH) else None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)


def _refused(constant: str) -> Any:
    raise ValueError(constant)


def _is_modest(value: Any, depth: int) -> bool:
    """Whether a value's numbers are finite and in range, and its brackets not too deep."""
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_is_modest(item, depth - 1) for item in items)
    return not isinstance(value, int | float) or abs(value) <= MOST_NUMBER  # NaN is not


def shaped_like(value: Any, example: Any) -> bool:
    """Whether a value has the type of an example, and a dictionary its keys, with values of the same types."""
    if type(value) is not type(example):
        return False
    if not isinstance(value, dict):
        return True
    return value.keys() == example.keys() and all(type(value[key]) is type(example[key]) for key in value)


@dataclasses.dataclass(frozen=True)
class Word:
    """One datagram of a worker; its fields have types that JSON has."""

    worker: int
    life: str  # of its process, drawn at its start
    number: int  # grows with every word of a life
    hears: str  # the life of the process it says this to, if it has heard it
    hello: Mapping[str, Any] | None  # what it tells of itself, until all have met
    met: bool
    status: Mapping[str, Any]  # where it is
    farewell: Farewell | None
    news: Mapping[str, Any] | None = None  # of many workers: what it passes on of all, see hearsay.py

    def datagram(self, secret: bytes) -> bytes:
        """The word as it is sent."""
        said = {name: value for name, value in vars(self).items() if name != "news" or value is not None}
        return sealed(json.dumps(said).encode(), secret)

    @classmethod
    def read(cls, value: Any) -> "Word | None":
        """The word in a JSON value; None if one field is missing, or of another type or size."""
        if not isinstance(value, dict) or {"news", *value} != _RULES.keys():
            return None
        return cls(**value) if all(_RULES[name](value[name]) for name in value) else None


def is_name(value: Any) -> bool:
    """Whether a JSON value is a short text."""
    return isinstance(value, str) and len(value) <= LONGEST_NAME


def is_count(value: Any) -> bool:
    """Whether a JSON value is a whole number, 0 or more."""
    return type(value) is int and value >= 0


def is_farewell(value: Any) -> bool:
    """Whether a JSON value is None, or a code and a message with which a worker leaves."""
    if value is None:
        return True
    if not isinstance(value, dict) or value.keys() != {"code", "message"}:
        return False
    code, message = value["code"], value["message"]
    return is_count(code) and code < 256 and isinstance(message, str) and len(message) <= LONGEST_MESSAGE


_RULES = {
    "worker": is_count,
    "life": is_name,
    "number": is_count,
    "hears": is_name,
    "hello": lambda value: value is None or isinstance(value, dict),
    "met": lambda value: isinstance(value, bool),
    "status": lambda value: isinstance(value, dict),
    "farewell": is_farewell,
    "news": lambda value: value is None or isinstance(value, dict),
}
