"""Throughput and memory of a GPU: `PYTHONPATH=benchmarks python -m bench.gpu`, or `make gpu`."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from torch import Tensor, nn

from asyrp.commands.common import say
from asyrp.errors import AsyrpError
from asyrp.finders.prepare import Pictures, start_training
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.editing import edit, latents_of, random_latents
from asyrp.method.editing_interval import EditInterval
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.text_direction import TextDirection
from asyrp.options.shared import unset
from asyrp.runtime.cpu import finish, set_up_torch
from asyrp.runtime.resumable import Stage, result_of, run_stages
from asyrp.scorers.decoded import decoded
from asyrp.settings import Precision, TrainSettings
from asyrp.storage.json_files import write_json, write_text
from asyrp.storage.results import new_folder
from bench import meter
from bench.gpu_page import page
from bench.gpu_subjects import SIZES, TINY, Size, made
from bench.subjects import SHIFTED, guide_of, shift_of

PRECISIONS: tuple[Precision, ...] = ("bfloat16", "float32")
GEMM, COPIED = 8192, 2**28  # a side of matrices, and values that are copied


@dataclass(frozen=True)
class Gpu:
    """Measure inversion, editing and training on a GPU: writes performance-gpu.md and gpu.json."""

    device: str = "cuda"
    """Torch device; without it everything is skipped, and said to be."""
    docs: Path = Path("docs")
    """Folder for performance-gpu.md."""
    keep: Path = Path("build/gpu")
    """Folder for the numbers; a run that was stopped goes on from it."""
    minutes: float = 6.0
    """After this time no further part is begun; the next run goes on."""
    only: Annotated[tuple[str, ...], unset("all", "[STR ...]")] = ()
    """Parts to measure, as in ddpm-256-bfloat16."""
    quick: bool = False
    """Tiny networks, to test the bench itself."""


def run(options: Gpu) -> None:
    """Measure what is missing; page and JSON are written after every part."""
    kept, every = new_folder(options.keep) / "parts", stages(options)
    why = missing_device(options.device)
    if why:
        say(f"skipped {', '.join(stage.name for stage in every)}: {why}")
        return write(options, every, why)
    set_up_torch()
    asked = {"machine", *(options.only or (stage.name for stage in every))}
    wanted = [stage for stage in every if stage.name in asked]
    started = time.perf_counter()
    for done in run_stages(wanted, kept):
        write(options, every)
        say(f"{done.name}: {done.seconds:.0f} s")
        if time.perf_counter() - started > 60 * options.minutes:
            say("the time is over; the next run goes on")
            break
    return write(options, every)


def stages(options: Gpu) -> list[Stage]:
    """The machine, every network in every precision, and compiled blocks."""
    sizes = TINY if options.quick else SIZES
    names = [f"{name}-{precision}" for precision in PRECISIONS for name in sizes]
    how = (options.device, options.quick, *((2, 1) if options.quick else ()))
    parts = [
        Stage(name, Throughput(*name.rsplit("-", 1), *how), ("machine",))  # type: ignore[arg-type]
        for name in names
    ]
    compiled = Compiled("ddpm-16" if options.quick else "ddpm-256", options.device, options.quick)
    machine = Stage("machine", Machine(options.device, 256 if options.quick else GEMM))
    return [machine, *parts, Stage("compiled", compiled)]


def missing_device(device: str) -> str:
    """Why a device cannot be measured; "" where it can."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        return f"no {device} on this machine ({str(error).splitlines()[0]})"
    return ""


def write(options: Gpu, every: Sequence[Stage], why: str = "") -> None:
    """The numbers so far, as JSON and as a page."""
    kept, found = options.keep / "parts", {}
    for stage in every:
        if (kept / f"{stage.name}.json").is_file():
            found[stage.name] = result_of(kept, stage.name)
    left = {stage.name: why or "not measured yet" for stage in every if stage.name not in found}
    write_json(options.keep / "gpu.json", {"parts": found, "left": left})
    text = page(found, left, TINY if options.quick else SIZES, "make gpu")
    write_text(new_folder(options.docs) / "performance-gpu.md", text)


@dataclass(frozen=True)
class Machine:
    """What the device can do at best."""

    device: str
    size: int

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Its name, FLOP/s of matrix products, and bytes/s of copies."""
        device = torch.device(self.device)
        cuda = device.type == "cuda"
        values = torch.ones(COPIED if cuda else 2**20, device=device)
        other = torch.empty_like(values)
        copied = clocked(lambda: other.copy_(values), device, 5)
        return {
            "device": torch.cuda.get_device_name(device) if cuda else self.device,
            "memory": torch.cuda.get_device_properties(device).total_memory if cuda else 0,
            "torch": torch.__version__,
            "cuda": torch.version.cuda or "none",
            "size": self.size,
            "gemm": {
                name: self._rate(device, getattr(torch, name)) for name in ("float32", "bfloat16")
            },
            "copy": 2 * values.nbytes / min(copied),
        }

    def _rate(self, device: torch.device, dtype: torch.dtype) -> float:
        a, b = (torch.ones(self.size, self.size, dtype=dtype, device=device) for _ in range(2))
        return 2 * self.size**3 / min(clocked(lambda: a @ b, device, 10))


@dataclass(frozen=True)
class Throughput:
    """Inversion, editing and training of one network in one precision."""

    network: str
    precision: Precision
    device: str
    quick: bool = False
    steps: int = 4
    runs: int = 3

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Seconds, images a second, FLOP/s, their share of the bfloat16 peak, and most memory."""
        size: Size = (TINY if self.quick else SIZES)[self.network]
        model, device = made(size, self.precision, self.device), torch.device(self.device)
        peak = result_of(folder, "machine")["gemm"]["bfloat16"]
        rows = {}
        for name, work in self._works(model, size.batch).items():
            if device.type == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(device)
            flops = meter.flops_of(work)  # and warmed up
            seconds = sorted(clocked(work, device, self.runs))[self.runs // 2]
            rate = flops / seconds
            rows[name] = {
                "seconds": seconds,
                "images_per_second": size.batch / seconds,
                "flops": flops,
                "rate": rate,
                "share": rate / peak,
                "bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0,
            }
        return {"batch": size.batch, "steps": self.steps, "works": rows}

    def _works(self, model: HSpaceUNet, batch: int) -> dict[str, Callable[[], object]]:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(batch, *model.image_shape, generator=generator).tanh().to(model.device)
        z, guide = random_latents(model, batch), self._guide(model)
        act = Attribute(shift_of(model), SHIFTED, trained_steps=self.steps)
        settings = TrainSettings(
            steps=self.steps, epochs=1, batch_size=batch, validate_every=0, along="edited"
        )

        def training() -> None:
            pictures = Pictures(x, z)
            parts = (pictures, pictures[:0], EditInterval(999, SHIFTED), settings)
            for _ in start_training(model, guide, *parts).steps:
                pass

        return {
            "inversion": lambda: latents_of(model, x, self.steps, batch_size=batch),
            "editing": lambda: edit(model, z, [act], self.steps, batch_size=batch),
            "training": training,
        }

    def _guide(self, model: HSpaceUNet) -> TextDirection:
        """A text pair with an image tower of CLIP ViT-B/16's shape."""
        guide = guide_of(model, vit=not self.quick)
        tower: Any = guide.encoder
        tower.to(model.device).precision = model.dtype
        encoder = decoded(tower, model.space)
        return guide._replace(encoder=encoder, direction=guide.direction.to(model.device))


@dataclass(frozen=True)
class Compiled:
    """Inversion with every block compiled by itself, against the same as it is, in bfloat16."""

    network: str
    device: str
    quick: bool = False
    steps: int = 4
    runs: int = 3

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Seconds of both, and the ratio; why not, where there is no compiler."""
        size, device = (TINY if self.quick else SIZES)[self.network], torch.device(self.device)
        model = made(size, "bfloat16", self.device)
        x = torch.zeros(size.batch, *model.image_shape, device=device)

        def work() -> Tensor:
            return latents_of(model, x, self.steps, batch_size=size.batch)

        work()
        plain = math.fsum(clocked(work, device, self.runs)) / self.runs
        if device.type != "cuda":
            return {"plain": plain, "left": "compiled on a GPU only"}
        blocks: list[nn.Module] = [*model.unet.down_blocks, model.unet.mid_block]
        try:
            for block in (*blocks, *model.unet.up_blocks):
                block.compile()
            work()
        except Exception as error:  # of a compiler, in any way
            return {"plain": plain, "left": f"did not compile: {str(error).splitlines()[0]:.200}"}
        seconds = math.fsum(clocked(work, device, self.runs)) / self.runs
        return {"plain": plain, "compiled": seconds, "ratio": plain / seconds}


def clocked(work: Callable[[], object], device: torch.device, runs: int) -> list[float]:
    """Seconds of some runs after one that does not count."""
    seconds = []
    for _ in range(runs + 1):
        finish(device)
        started = time.perf_counter()
        work()
        finish(device)
        seconds.append(time.perf_counter() - started)
    return seconds[1:]


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code: 0, or 2 for an input that cannot be used."""
    try:
        run(tyro.cli(Gpu, args=argv))
    except AsyrpError as error:
        say(f"bench.gpu: {error}")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
