"""How time and memory grow with images, steps, batch and resolution, and with processes."""

import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from asyrp.finders.prepare import Pictures, start_training
from asyrp.method.editing import latents_of
from asyrp.method.editing_interval import EditInterval
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_cache import invert_into, recipe_of
from asyrp.runtime.cpu import set_up_torch
from asyrp.settings import official
from asyrp.storage.record_store import RecordStore
from bench import meter
from bench.subjects import guide_of, images_of, subject, tiny

Axis = Literal["images", "steps", "batch", "resolution"]
"""What is varied."""


@dataclass(frozen=True)
class Growth:
    """Inversion, with one number varied; values of `resolution` are names of networks."""

    axis: Axis
    values: tuple[Any, ...]
    network: str = "avatars-64"
    images: int = 8
    steps: int = 10
    batch: int = 16
    runs: int = 3
    size: int = meter.GEMM_SIZE

    def measure(self, baseline: Path) -> dict[str, Any]:
        """Seconds at each value."""
        rows = []
        for value in self.values:
            chosen = {"images": self.images, "steps": self.steps, "batch": self.batch}
            chosen |= {} if self.axis == "resolution" else {self.axis: value}
            model = subject(value if self.axis == "resolution" else self.network)
            rows.append({"value": value, **self._row(model, **chosen)})
        return {"axis": self.axis, "rows": rows}

    def _row(self, model: HSpaceUNet, images: int, steps: int, batch: int) -> dict[str, Any]:
        x = images_of(model, images)

        def work() -> Tensor:
            return latents_of(model, x, steps, batch_size=batch)

        clocks = meter.alternate({"inversion": work}, self.runs, self.size)
        return {
            "seconds": meter.spread(clocks.of["inversion"]),
            "flops": clocks.flops["inversion"],
        }


@dataclass(frozen=True)
class InversionMemory:
    """Inverting images into a store in two steps, with a network so small that images weigh."""

    images: int
    batch: int = 16

    def measure(self, baseline: Path) -> dict[str, Any]:
        """The most memory, and the seconds."""
        model = tiny()
        recipe, started = recipe_of(model, 2), time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            store = RecordStore(Path(folder) / "store", shard_bytes=2**20)
            for _ in invert_into(store, model, recipe, self._pictures(model), self.batch):
                pass
            store.flush()
            kept = len(store)
        seconds = time.perf_counter() - started
        size = model.image_shape[1]
        return {"bytes": meter.peak_bytes(), "images": kept, "pixels": size, "seconds": seconds}

    def _pictures(self, model: HSpaceUNet) -> Iterator[Tensor]:
        for number in range(self.images):
            yield images_of(model, 1, number)[0]


@dataclass(frozen=True)
class TrainingMemory:
    """One optimiser step, with an image tower of CLIP ViT-B/16's shape."""

    network: str
    checkpointing: bool
    batch: int = 1

    def measure(self, baseline: Path) -> dict[str, Any]:
        """The most memory, and the seconds."""
        model = subject(self.network)
        guide, x = guide_of(model, vit=True), images_of(model, self.batch)
        before, pictures = meter.peak_bytes(), Pictures(x, x)
        settings = replace(
            official(), checkpointing=self.checkpointing, steps=2, batch_size=self.batch
        )
        job = start_training(
            model, guide, pictures, pictures[:0], EditInterval(999, 513, 0), settings
        )
        started = time.perf_counter()
        (step,) = job.steps
        seconds = time.perf_counter() - started
        return {
            "bytes": meter.peak_bytes(),
            "bytes_before": before,
            "seconds": seconds,
            "loss": step.total,
        }


@dataclass(frozen=True)
class Processes:
    """Inversion by two processes of one thread each against one process of two threads."""

    network: str = "avatars-64"
    images: int = 16
    steps: int = 10
    batch: int = 8
    runs: int = 5
    size: int = meter.GEMM_SIZE

    def measure(self, baseline: Path) -> dict[str, Any]:
        """Images a second of either, and the ratio: the efficiency of processes."""
        context = multiprocessing.get_context("spawn")
        queues = [(context.Queue(), context.Queue()) for _ in range(2)]
        helpers = [context.Process(target=self._serve, args=pair) for pair in queues]
        for helper in helpers:
            helper.start()

        def together() -> None:
            for ask, _ in queues:
                ask.put(True)
            for _, answer in queues:
                answer.get()

        torch.set_num_threads(2)
        try:
            model, x = self._given(self.images)
            works: dict[str, meter.Work] = {
                "one process": lambda: latents_of(model, x, self.steps, batch_size=self.batch),
                "two processes": together,
            }
            clocks = meter.alternate(works, self.runs, self.size)
        finally:
            for ask, _ in queues:
                ask.put(False)
            for helper in helpers:
                helper.join()
        rates = {name: self.images / clocks.median(name) for name in clocks.of}
        return {
            "images_per_second": rates,
            "efficiency": clocks.ratio("one process", "two processes"),
        }

    def _given(self, count: int) -> tuple[HSpaceUNet, Tensor]:
        model = subject(self.network)
        return model, images_of(model, count)

    def _serve(self, ask: Any, answer: Any) -> None:
        torch.set_num_threads(1)
        set_up_torch()
        model, x = self._given(self.images // 2)
        while ask.get():
            latents_of(model, x, self.steps, batch_size=self.batch)
            answer.put(True)
