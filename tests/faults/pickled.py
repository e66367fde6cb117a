"""torch checkpoints, of today's zip and the older layout: damaged, lying, or with code in them."""

import io
import os
import random
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faults.damage import EDGES, damaged, flipped, huge_length
from faults.tensors import other_tensors

CANARY = Path(os.environ.get("ASYRP_CANARY", f"/tmp/asyrp-canary-{os.getpid()}"))


class Runs:
    """An object whose pickle runs something when it is opened."""

    def __init__(self, *call: Any):
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


def spells() -> list[Any]:
    """Ways to run code, each of which leaves the canary."""
    line = f"open({str(CANARY)!r}, 'w').close()"
    return [
        Runs(exec, line),
        Runs(eval, line),
        Runs(os.system, f"touch {CANARY}"),
        Runs(open, str(CANARY), "w"),
        Runs(Path.touch, CANARY),
        Runs(getattr, Runs(__import__, "os"), "system"),
        Runs(torch.load, str(CANARY)),
        Runs(bytearray, 10**12),
        Runs(torch.empty, 10**12),
        Runs(torch.UntypedStorage, 5 * 10**9),
        Runs(torch.FloatStorage, 10**10),
    ]


def saved(content: Any, legacy: bool) -> bytes:
    """As torch.save writes it."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def hostile_pickles() -> list[bytes]:
    """Pickles of a few bytes that would take memory, time or run code."""
    doubling = b"\x80\x02c_codecs\nencode\nq\x00U\x01aX\x03\x00\x00\x00hexq\x01\x86R"
    hexes = b"\x80\x02" + b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x06\x00\x00\x00latin1\x86R"
    bomb = b"\x80\x02" + b"c_codecs\nencode\n" * 33 + hexes[2:]
    bomb += b"X\x03\x00\x00\x00hex\x86R" * 33 + b"."
    laughs = b"\x80\x02]q\x00" + b"".join(
        b"](" + b"h" + bytes([i]) + (b"h" + bytes([i])) * 40 + b"eq" + bytes([i + 1])
        for i in range(20)
    )
    itself = b"\x80\x02]q\x00(" + b"h\x00" * 2000 + b"e."
    code = f"cposix\nsystem\n(S'touch {CANARY}'\ntR.".encode()
    return [
        doubling + b".", bomb, laughs + b".", itself, code, b"\x80\x04" + code, b"\x80\x02" + code,
        b"\x80\x02" + b"(" * 100_000 + b".", b"\x80\x02" + b"]" * 100_000 + b"." , b"\x80\x02}.",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.", b"\x80\x02\x8b\xff\xff\xff\x7f.",
        b"\x80\x02X\xff\xff\xff\xffabc.", b"\x80\x02r\xff\xff\xff\xff.",
        b"\x80\x02N" + b"0" * 50 + b".",
        b"\x80\x02" + b"N" * 4_000_000 + b".", b"\x80\x02\x82\x01.", b"\x80\x02K\x01Q.",
        b"\x80\x02" + b"I" + b"9" * 6000 + b"\n.",
    ]  # fmt: skip


def content_of(weights: Mapping[str, Tensor], rng: random.Random) -> Any:
    """A checkpoint's content with wrong shapes, precisions, names, nesting, or code among it."""
    found: Any = {k: v for k, v in other_tensors(weights, rng).items() if isinstance(v, Tensor)}
    way = rng.random()
    key = rng.choice([*found, "x"])
    if way < 0.2:
        found[key] = rng.choice(spells())
    elif way < 0.3:
        odd = (None, 7, "text", b"bytes", [1], torch.Size([2]), torch.device("cpu"), 10**5000)
        found[key] = rng.choice((*odd, torch.nn.Parameter(torch.ones(2))))
    elif way < 0.4:
        found[key] = torch.zeros(1).expand(rng.choice((10, 10**4, 10**10)), 3)
    elif way < 0.5:
        half = torch.zeros(20_000, dtype=torch.float16)
        found |= {f"view.{i}": half.view(100, 200) for i in range(rng.choice((3, 3000)))}
    elif way < 0.6:
        found[key] = rng.choice((torch.zeros(2, 2).to_sparse(), torch.zeros(3, device="meta")))
    elif way < 0.75:
        found = rng.choice(
            ({"ema": found, "model": found}, [found, 3], ({"a": [found]},), [[found]])
        )
    return found


def changed(weights: Mapping[str, Tensor], legacy: bool, rng: random.Random) -> bytes:
    """A torch checkpoint of some hostile kind."""
    way = rng.random()
    if way < 0.1:
        whole = rng.choice(hostile_pickles())
        return whole if legacy else rezipped(saved({}, False), rng, whole)
    try:
        data = saved(content_of(weights, rng) if way < 0.55 else dict(weights), legacy)
    except Exception:  # what cannot be saved cannot be sent either
        data = saved(dict(weights), legacy)
    if way < 0.5:
        return data
    if legacy:
        return in_the_pickle(data, rng) if way < 0.75 else damaged(data, rng)
    return rezipped(data, rng) if way < 0.8 else damaged(data, rng)


def in_the_pickle(data: bytes, rng: random.Random) -> bytes:
    """Numbers in the pickle of the older layout replaced by huge ones: sizes, offsets, strides."""
    found = bytearray(data)
    spots = [i for i in range(len(found) - 8) if found[i] in b"KMJ\x8a"][:400]
    for place in rng.sample(spots, min(len(spots), rng.choice((1, 1, 2, 5)))):
        width = {ord("K"): 1, ord("M"): 2, ord("J"): 4}.get(found[place], 1)
        found[place + 1 : place + 1 + width] = (rng.choice(EDGES) % 256**width).to_bytes(
            width, "little"
        )
    return bytes(found)


def rezipped(data: bytes, rng: random.Random, pickled: bytes | None = None) -> bytes:
    """The same archive with another pickle, packed entries, bombs, missing or odd members."""
    out, way = io.BytesIO(), rng.random()
    packing = rng.choice((zipfile.ZIP_STORED,) * 5 + (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with (
        warnings.catch_warnings(action="ignore"),  # of names that an archive has twice
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(out, "w", packing) as new,
    ):
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith("data.pkl"):
                content = _other_pickle(content, rng) if pickled is None else pickled
            elif way < 0.1:
                continue
            name = entry.filename
            if way > 0.9:
                name = rng.choice((name, name.replace("data/", "../"), "x" * 300, "/", "data.pkl"))
            new.writestr(name, content)
        if 0.1 < way < 0.15:
            new.writestr("bomb", bytes(20_000_000))
        if 0.15 < way < 0.2:
            new.writestr("archive/.data/serialization_id", b"x" * 100)
    return out.getvalue() if rng.random() < 0.8 else damaged(out.getvalue(), rng)


def _other_pickle(data: bytes, rng: random.Random) -> bytes:
    return rng.choice((flipped, huge_length, in_the_pickle, damaged))(data, rng)
