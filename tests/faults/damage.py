"""Mutations of bytes and of JSON, every one from a seeded generator."""

import json
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

DEEP = "@deep@"  # stands for a JSON list nested so far that json.dumps cannot write it
EDGES = (0, 1, 2, 7, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 1000, 2**31, 10**9, 10**12, 10**30, 10**400, -(10**400),
    0.5, -0.0, 1e-300, 1e308, float("nan"), float("inf"), -float("inf"), "", " ", "0", "-1", "nan",
    "\ud800", "\x00", "\x1b[31m", "笑 — é", "a" * 100_000, "../../etc/passwd", "__class__", [], {},
    [[]], [None], {"": 0}, {"a": {"b": []}}, [0] * 1000, DEEP,
)  # fmt: skip


def flipped(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, most often near the beginning, where the structure lies."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if found:
            reach = rng.choice((16, 256, 4096, len(found)))
            found[rng.randrange(min(reach, len(found)))] = rng.randrange(256)
    return bytes(found)


def near_the_end(data: bytes, rng: random.Random) -> bytes:
    """A few of the last bytes changed, where zip keeps its index."""
    cut = max(0, len(data) - 400)
    return data[:cut] + flipped(data[cut:], rng)


def truncated(data: bytes, rng: random.Random) -> bytes:
    """Cut off anywhere."""
    return data[: rng.choice((rng.randrange(len(data) + 1), rng.randrange(64)))]


def grown(data: bytes, rng: random.Random) -> bytes:
    """With a block put in."""
    place, size = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 8, 100, 5000))
    return data[:place] + rng.randbytes(size) + data[place:]


def shortened(data: bytes, rng: random.Random) -> bytes:
    """With a block taken out."""
    place = rng.randrange(len(data) + 1)
    return data[:place] + data[place + rng.choice((1, 2, 4, 8, 100, 5000)) :]


def huge_length(data: bytes, rng: random.Random) -> bytes:
    """A number of 2, 4 or 8 bytes set to an extreme, as a length would be."""
    size = rng.choice((2, 4, 8))
    reach = rng.choice((64, 1024, len(data)))
    place = rng.randrange(max(1, min(reach, len(data)) - size + 1))
    value = (rng.choice(EDGES) % 256**size).to_bytes(size, rng.choice(("little", "big")))
    return data[:place] + value + data[place + size :]


def repeated(data: bytes, rng: random.Random) -> bytes:
    """A block twice, or the whole file."""
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return rng.choice((data + data, data[:b] + data[a:]))


def blanked(data: bytes, rng: random.Random) -> bytes:
    """A block of zeros."""
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:a] + bytes(b - a) + data[b:]


BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flipped, flipped, flipped, near_the_end, truncated, grown, shortened, huge_length, huge_length,
    repeated, blanked,
)  # fmt: skip


def damaged(data: bytes, rng: random.Random) -> bytes:
    """One or two of the mutations of bytes."""
    for _ in range(rng.choice((1, 1, 2))):
        data = rng.choice(BYTES)(data, rng)
    return data


def json_bytes(value: Any, rng: random.Random) -> bytes:
    """JSON of a mutated value, sometimes no longer well formed."""
    deep = rng.choice((100, 3000, 100_000))
    text = json.dumps(value, allow_nan=True).replace(f'"{DEEP}"', "[" * deep + "]" * deep)
    data = text.encode("utf-8", "surrogatepass")
    return damaged(data, rng) if rng.random() < 0.15 else data


def json_mutated(value: Any, rng: random.Random) -> Any:
    """One to three places of a JSON value replaced, removed, renamed or added to."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            return deepcopy(rng.choice(ODD))
        holder, key = rng.choice(places)
        _change(holder, key, rng)
    return value if rng.random() < 0.98 else deepcopy(rng.choice(ODD))


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _change(holder: Any, key: Any, rng: random.Random) -> None:
    what = rng.random()
    if what < 0.75:
        holder[key] = deepcopy(rng.choice(ODD))
    elif what < 0.85:
        holder[key] = [holder[key]]
    elif isinstance(holder, dict):
        moved = holder.pop(key)
        if what > 0.92:
            holder[rng.choice(("", "x", "_class_name", "\ud800", f"{key}s"))] = moved
    else:
        holder.append(deepcopy(rng.choice(ODD)))
