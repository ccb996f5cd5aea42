"""Messages between workers: what is sealed is opened with the same secret alone, and no bytes make a reader raise."""

import dataclasses
import json
import random

import pytest

from pipeline.workers.words import MOST_DEPTH, Word, opened, sealed, shaped_like, value_of

WORD = Word(1, "life", 7, "other", {"asked": {"steps": 3}}, True, {"step": 1}, {"code": 76, "message": "gone"})


def read(datagram: bytes, secret: bytes = b"") -> Word | None:
    payload = opened(datagram, secret)
    return None if payload is None else Word.read(value_of(payload))


def changed(**changes) -> bytes:
    return json.dumps(vars(WORD) | changes).encode()


@pytest.mark.parametrize("secret", [b"", b"key"])
def test_a_word_comes_as_it_went(secret):
    assert read(WORD.datagram(secret), secret) == WORD
    bare = dataclasses.replace(WORD, hello=None, farewell=None, hears="")
    assert read(bare.datagram(secret), secret) == bare
    assert b"news" not in bare.datagram(secret)
    telling = dataclasses.replace(WORD, news={"met": "0"})
    assert read(telling.datagram(secret), secret) == telling


def test_a_seal_holds_for_one_secret_and_one_payload():
    message = sealed(b"payload", b"key")
    assert opened(message, b"key") == b"payload" and b"key" not in message
    assert opened(message, b"other") is None and opened(b"payload", b"key") is None and opened(b"", b"key") is None
    for place in range(len(message)):
        spoiled = bytearray(message)
        spoiled[place] ^= 1
        assert opened(bytes(spoiled), b"key") is None
    assert sealed(b"payload", b"key") != sealed(b"payload", b"kez")


HUGE = 10**400
WRONG = [
    *({"worker": value} for value in (None, True, "1", 1.0, -1, [], {}, HUGE, 1e300)),
    *({"life": value} for value in (None, 1, [], "x" * 65)),
    *({"number": value} for value in (None, True, "1", 1.5, -1, HUGE, float("nan"), float("inf"))),
    *({"hears": value} for value in (None, 1, {}, "x" * 65)),
    *({"hello": value} for value in (0, "x", [], {"a": float("nan")}, {"a": [[[[[[]]]]]]})),
    *({"met": value} for value in (None, 0, 1, "true", [])),
    *({"status": value} for value in (None, 1, "x", [], {"seconds": float("inf")}, {"step": HUGE})),
    *({"farewell": value} for value in (1, "x", [], {}, {"code": 1}, {"code": 1, "message": "m", "more": 1})),
    *({"farewell": {"code": value, "message": "m"}} for value in (None, True, "76", -1, 256, 76.0, HUGE)),
    *({"farewell": {"code": 76, "message": value}} for value in (None, 1, [], "x" * 4001)),
    *({"news": value} for value in (1, "x", [], True)),
    {"further": 1},
]


@pytest.mark.parametrize("changes", WRONG, ids=lambda changes: str(changes)[:40])
def test_a_field_of_another_type_or_size_makes_it_no_word(changes):
    assert read(changed(**changes)) is None


def test_a_missing_field_makes_it_no_word():
    for name in vars(WORD).keys() - {"news"}:  # which few workers leave out
        assert read(json.dumps({k: v for k, v in vars(WORD).items() if k != name}).encode()) is None


NO_VALUE = [
    b"",
    b"\xff\x00",
    b"[" * 60000,
    b'{"a":' * 13000,
    b"[" * 60000 + b"]" * 60000,
    b"1" * 60000,
    b"1e999",
    b"NaN",
    b"-Infinity",
    b'{"a": 1, "a": 2}',
    b'{"a": {"b": 1, "b": 1}}',
    b"[" * (MOST_DEPTH + 1) + b"]" * (MOST_DEPTH + 1),
    b"18446744073709551617",
]


@pytest.mark.parametrize("payload", NO_VALUE, ids=lambda payload: f"{payload[:12]!r}x{len(payload)}")
def test_bytes_that_hold_no_modest_value_hold_none(payload):
    assert value_of(payload) is None


def test_the_deepest_and_the_largest_value_is_read():
    assert value_of(b"[" * MOST_DEPTH + b"]" * MOST_DEPTH) == [[[[[[]]]]]]
    assert value_of(b"18446744073709551616") == 2**64


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_is_a_word_or_none(seed):
    """Random bytes, and words of which some bytes were changed, cut out, cut off or put in twice."""
    draw = random.Random(seed)
    for _ in range(300):
        spoiled = bytearray(changed() if draw.random() < 0.8 else draw.randbytes(draw.randrange(200)))
        for _ in range(draw.randrange(1, 4)):
            start = draw.randrange(len(spoiled) + 1)
            stop = start + draw.randrange(6)
            others = [draw.randbytes(stop - start), b"", spoiled[start:stop] * 2, b"{", b"]", b"9" * 30, b"NaN"]
            spoiled[start:stop] = draw.choice(others)
        found = read(bytes(spoiled))
        if found is not None:
            assert Word.read(json.loads(found.datagram(b""))) == found
            assert isinstance(found.status, dict) and type(found.worker) is int and len(found.life) <= 64


def test_what_has_the_shape_of_an_example():
    example = {"phase": "training", "step": 3, "seconds": 1.5, "late": False}
    assert shaped_like({"phase": "", "step": 0, "seconds": 0.0, "late": True}, example)
    for name, value in {"phase": 1, "step": 1.0, "seconds": 1, "late": 0}.items():
        assert not shaped_like({**example, name: value}, example)
    assert not shaped_like({**example, "more": 1}, example) and not shaped_like({}, example)
