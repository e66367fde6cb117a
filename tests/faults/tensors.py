"""safetensors files built by hand: headers that lie, and whole files with wrong contents."""

import json
import random
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from faults.damage import DEEP, EDGES, damaged, json_bytes, json_mutated

DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "I8", "U8", "BOOL", "F8_E4M3", "C64", "F4")
OTHER = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool,
         torch.complex64, torch.float8_e4m3fn)  # fmt: skip
SHAPES: tuple[tuple[int, ...], ...] = (
    (), (0,), (1,), (2**40, 0), (0, 2**40), (20_000, 0), (0, 20_000), (2**62, 0, 4),
    (1, 1, 1, 1, 1),    (3, 16, 16), (0, 0), (30_000, 0, 1, 1), (-1,), (2**31, 2**31),
)  # fmt: skip


def changed(tensors: Mapping[str, Tensor], header: Mapping[str, str], rng: random.Random) -> bytes:
    """A safetensors file with some damage to its bytes, its header or what it says."""
    way = rng.random()
    if way < 0.3:
        return damaged(saved(tensors, header), rng)
    if way < 0.55:
        return _lying(saved(tensors, header), rng)
    return save_raw(other_tensors(tensors, rng), other_header(header, rng), rng)


def saved(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> bytes:
    """safetensors whose metadata has an order, which `save` draws anew each time."""
    data = save(dict(tensors), dict(header))
    start = 8 + int.from_bytes(data[:8], "little")
    entries = json.loads(data[8:start])
    entries["__metadata__"] = dict(sorted(entries.get("__metadata__", {}).items()))
    return _packed(json.dumps(entries, ensure_ascii=False).encode(), data[start:])


def other_header(header: Mapping[str, str], rng: random.Random) -> dict[str, str]:
    """Metadata with one entry mutated; JSON in it stays JSON most of the time."""
    found = dict(header)
    if not found or rng.random() < 0.3:
        return found
    key = rng.choice(sorted(found))
    try:
        inner = json.loads(found[key])
    except ValueError:
        inner = None
    if isinstance(inner, dict | list) and rng.random() < 0.9:
        text = json_bytes(json_mutated(inner, rng), rng)
        found[key] = text.decode("utf-8", "replace").replace("\ufffd", "?")
    else:
        found[key] = rng.choice(("", "0", "9" * 5000, "null", "{", "[1]", "-1", "x" * 9, DEEP))
    if rng.random() < 0.1:
        del found[key]
    return found


def other_tensors(tensors: Mapping[str, Tensor], rng: random.Random) -> dict[str, Any]:
    """Tensors with one or two of another shape, precision, value or name; shapes may lie empty."""
    found: dict[str, Any] = dict(tensors)
    for _ in range(rng.choice((0, 1, 1, 2))):
        if not found:
            break
        key = rng.choice(sorted(found))
        way = rng.random()
        if way < 0.3:
            found[key] = rng.choice(SHAPES)
        elif way < 0.5 and isinstance(found[key], Tensor):
            found[key] = found[key].to(rng.choice(OTHER))
        elif way < 0.6 and isinstance(found[key], Tensor):
            found[key] = found[key].double().mul(rng.choice((float("nan"), float("inf"), 1e300)))
        elif way < 0.7 and isinstance(found[key], Tensor):
            found[key] = found[key].reshape(-1)[: rng.randrange(1, 9)]
        elif way < 0.85:
            name = rng.choice(
                ("", "x", f"{key}.x", "9" * 20, "-5", "２", "e" * 3000, "down.99999999.a")
            )
            found[name] = found.pop(key)
        else:
            del found[key]
    return found


def save_raw(tensors: Mapping[str, Any], header: Mapping[str, str], rng: random.Random) -> bytes:
    """safetensors; a tuple in a tensor's place is a shape without bytes."""
    entries: dict[str, Any] = {"__metadata__": dict(header)} if header else {}
    body = b""
    for key, value in tensors.items():
        whole = isinstance(value, Tensor)
        data = save({"x": value.contiguous()}) if whole else b""
        if whole:
            start = 8 + int.from_bytes(data[:8], "little")
            entry, data = json.loads(data[8:start])["x"], data[start:]
        else:
            entry = {"dtype": rng.choice(DTYPES), "shape": list(value)}
        entries[key] = entry | {"data_offsets": [len(body), len(body) + len(data)]}
        body += data
    return _packed(json.dumps(entries, ensure_ascii=False).encode("utf-8", "replace"), body)


def _packed(header: bytes, body: bytes) -> bytes:
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + body


def _lying(data: bytes, rng: random.Random) -> bytes:
    """The header says something else than the bytes that follow."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    way = rng.random()
    if way < 0.6:
        changed_header = json_mutated(header, rng)
    else:
        key = rng.choice([k for k in header if k != "__metadata__"])
        entry, changed_header = header[key], header
        if way < 0.75:
            entry["dtype"] = rng.choice(DTYPES)
        elif way < 0.9:
            entry["shape"] = [
                rng.choice((*EDGES, *entry["shape"])) for _ in range(rng.randrange(5))
            ]
        else:
            entry["data_offsets"] = [rng.choice(EDGES), rng.choice(EDGES)]
    packed = _packed(json_bytes(changed_header, rng), data[start:])
    if rng.random() < 0.1:
        packed = rng.choice(EDGES).to_bytes(8, "little") + packed[8:]
    return packed
