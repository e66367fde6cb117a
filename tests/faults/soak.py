"""A long day of the app: four people edit at once, through the server, and nobody is mixed up."""

import base64
import gc
import io
import random
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from app_doubles import new_studio
from asyrp.app import plans, server
from asyrp.app.sessions import SLOTS, Marks, assign
from asyrp.app.studio import Studio
from asyrp.method.editing import edit, latents_of
from asyrp.storage.images import read_image, to_uint8
from faults.running import Fault
from faults.watch import _field

PEOPLE = 4
KEYS = ("own: strange", "own: odd")
GROWTH = 32_000_000  # bytes that the process may grow by after the first quarter
ANSWER = re.compile(r'download=\\"edit\.png\\" href=\\"data:image/png;base64,([^\\"]+)')


class Person:
    """A tab: it uploads pictures, chooses directions, moves sliders, and looks at what comes."""

    def __init__(self, address: str, numbers: dict[str, int], studio: Studio, name: str):
        self.client = httpx.Client(base_url=address, timeout=120)
        self.numbers, self.studio, self.name = numbers, studio, name
        self.rng = random.Random(name)
        self.picture: Tensor = torch.zeros(0)

    def call(self, event: str, data: list[Any]) -> str:
        """What the server streams back for an event of the page."""
        body = {"data": data, "fn_index": self.numbers[event], "session_hash": self.name}
        self.client.post("/gradio_api/queue/join", json=body).raise_for_status()
        parts = []
        place = f"/gradio_api/queue/data?session_hash={self.name}"
        with self.client.stream("GET", place) as stream:
            for line in stream.iter_lines():
                parts.append(line)
                if "process_completed" in line or "close_stream" in line:
                    break
        return "\n".join(parts)

    def upload(self, folder: Path) -> None:
        """Send a picture of its own."""
        path = folder / f"{self.name}.png"
        pixels = np.frombuffer(self.rng.randbytes(20 * 20 * 3), np.uint8).reshape(20, 20, 3)
        Image.fromarray(pixels).save(path)
        files = {"files": (path.name, path.read_bytes())}
        sent = self.client.post("/gradio_api/upload", files=files).json()[0]
        data = {"path": sent, "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}
        self.call("upload", [data])
        self.picture = read_image(path, (16, 16))

    def edit(self) -> bool:
        """Move everything, and compare what comes with the direct way."""
        keys = self.rng.sample(KEYS, self.rng.choice((1, 1, 2)))
        self.call("choose", [keys])
        slots = assign((None,) * SLOTS, keys)
        slots = self.studio.sessions.get(self.name).slots or slots
        strengths = [round(self.rng.uniform(-1.5, 1.5), 2) for _ in range(SLOTS)]
        entries = self.studio.gallery.listing().entries
        chosen = [entries[key] for key in slots if key]
        marks = plans.own_marks(chosen, self.studio.top)
        values = [*strengths, *marks, self.rng.random() < 0.5, self.rng.randrange(1000)]
        found = ANSWER.search(self.call("edit", values))
        if found is None:
            return False
        got = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))))
        wanted = self.direct(slots, values, marks)
        return int(np.abs(got.astype(int) - wanted.astype(int)).max()) <= 1

    def direct(self, slots: Any, values: list[Any], marks: Marks) -> np.ndarray:
        """The same edit by the library alone."""
        model, entries = self.studio.model, self.studio.gallery.listing().entries
        steps, how = self.studio.habits.steps, self.studio.habits.inverting
        latent = latents_of(model, self.picture[None], steps, how.convention, how.refinements)
        attributes = [
            entries[key].saved.attribute(strength * entries[key].card.strength)
            for key, strength in zip(slots, values, strict=False)
            if key
        ]
        t_boost = marks.t_boost if values[SLOTS + 3] else 0
        made = edit(model, latent, attributes, steps, t_boost, values[SLOTS + 4])
        return to_uint8(made)[0]


def every(root: Path, edits: int) -> Iterator[Fault]:
    """So many edits, memory looked at on the way."""
    begun, studio = time.perf_counter(), new_studio(root)
    studio = Studio(studio.tools, root / "own", type(studio.habits)(steps=10, people=8))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with server.serving(studio, "127.0.0.1", port) as address:
        config = httpx.get(f"{address}config").json()
        numbers = {d["api_name"]: d["id"] for d in reversed(config["dependencies"])}
        people = [Person(address, numbers, studio, f"person{i}") for i in range(PEOPLE)]
        sizes, right = [], list[bool]()
        with ThreadPoolExecutor(PEOPLE) as pool:
            for part in range(4):
                share = [edits // 4 // PEOPLE + (i < edits // 4 % PEOPLE) for i in range(PEOPLE)]
                if part == 3:
                    share[0] += edits % 4
                done = pool.map(lambda job: _day(*job, root), zip(people, share, strict=True))
                right += [one for each in done for one in each]
                gc.collect()
                sizes.append(_field("VmRSS"))
    grown = max(sizes[1:]) - sizes[0]
    told = (
        f"{sum(right)} of {len(right)} pictures are those of the direct way; memory after each "
        f"quarter {', '.join(f'{size / 1e6:.0f}' for size in sizes)} MB (allowed: "
        f"{GROWTH / 1e6:.0f} more than after the first)"
    )
    faults = [f"{right.count(False)} wrong pictures"] if not all(right) else []
    faults += [f"memory grew by {grown / 1e6:.0f} MB"] if grown > GROWTH else []
    seconds = time.perf_counter() - begun
    yield Fault(f"app: edits of {PEOPLE} people at once", len(right), told, tuple(faults), seconds)


def _day(person: Person, count: int, folder: Path) -> list[bool]:
    found = []
    person.call("begin", [])  # a tab is opened; only then may it choose directions
    for number in range(count):
        if number % 10 == 0:
            person.upload(folder)
        found.append(person.edit())
    return found
