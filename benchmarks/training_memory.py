"""Memory of training at 256 x 256: `python benchmarks/training_memory.py`, about half an hour.

Writes docs/training-memory.md. What images take is measured with `asyrp train` itself and a network
so small that they weigh; what the network takes with the paper's DDPM, one optimiser step.
"""

import passive  # noqa: F401, I001  (first of all)

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from torch.nn import functional

from asyrp.reporting.tables import Row, markdown
from asyrp.settings import TrainSettings
from asyrp.storage.images import write_png
from asyrp.storage.json_files import write_json, write_text
from asyrp.storage.results import new_folder
from bench.growth import TrainingMemory
from bench.plan import Apart
from bench.subjects import tiny_unet

SIDE = 256
PICTURE = 3 * SIDE * SIDE * 4  # bytes of one in float32
BATCH = 16  # images that are inverted at a time
STEPS, T_EDIT, WALKED = 6, 500, 3  # a grid on which three timesteps are edited
DEFAULT_STEPS, DEFAULT_WALKED = TrainSettings().steps, 10  # of the default grid, from T to 500
CHILD = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from asyrp.cli import main
from bench.meter import peak_bytes
code = main(sys.argv[1:])
print("\\n=%d %d" % (code, peak_bytes()))
"""


@dataclass(frozen=True)
class Memory:
    """Measure the memory of training at 256 x 256."""

    docs: Path = Path("docs")
    """Folder for training-memory.md."""
    keep: Path = Path("build/training-memory")
    """Folder for the numbers; those that are there are not measured again."""
    images: Annotated[tuple[int, ...], tyro.conf.arg()] = (100, 1000)
    """Numbers of images."""
    network: str = "ddpm-256"
    """The network whose optimiser step is measured."""


def main(options: Memory) -> None:
    """Measure what is missing, and write the page."""
    found = {name: kept(options.keep / f"{name}.json", work) for name, work in works(options)}
    write_text(new_folder(options.docs) / "training-memory.md", page(found, options))


def works(options: Memory) -> list[tuple[str, Any]]:
    """Every measurement by name."""
    parts: list[tuple[str, Any]] = [("batch", lambda: trained(BATCH, True))]
    for count in options.images:
        parts.append((f"{count}-memory", lambda n=count: trained(n, False)))
        parts.append((f"{count}-store", lambda n=count: trained(n, True)))
    for batch in (1, 2):
        for checkpointing in (False, True):
            work = TrainingMemory(options.network, checkpointing, batch)
            name = f"step-{batch}{'-checkpointing' if checkpointing else ''}"
            parts.append((name, lambda w=work: Apart(w, Path())(Path())))
    return parts


def kept(path: Path, work: Any) -> Mapping[str, Any]:
    """What a file has, or what the work finds."""
    if not path.is_file():
        new_folder(path.parent)
        write_json(path, dict(work()))
    found: Mapping[str, Any] = json.loads(path.read_text())
    return found


def trained(count: int, store: bool) -> dict[str, Any]:
    """The most memory of `asyrp train` on so many images, in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tiny_unet(SIDE).save_pretrained(folder / "net")
        pictures(folder / "images", count)
        words: list[object] = ["train", "--model", folder / "net", "--images", folder / "images"]
        words += ["--source", "face", "--target", "smiling face", "--encoder", "avatars-64-clip"]
        words += ["--t-start", 999, "--t-edit", T_EDIT, "--t-boost", 0, "--validation", 0]
        words += ["--train.steps", STEPS, "--train.epochs", 1, "--out", folder / "d.safetensors"]
        words += ["--store", folder / "store"] if store else []
        command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    code, peak = map(int, done.stdout.rpartition("\n=")[2].split())
    if code:
        raise SystemExit(done.stderr)
    return {"images": count, "store": store, "bytes": peak}


def pictures(folder: Path, count: int) -> None:
    """Smooth random pictures."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    for index in range(count):
        coarse = torch.randn(1, 3, 8, 8, generator=generator)
        smooth = functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic", align_corners=False)
        write_png(folder / f"{index:05d}.png", smooth[0].tanh())


def in_memory(count: int, walked: int) -> int:
    """Bytes of pictures, latents, where the walk begins and every P_t of it, without a store."""
    return count * (3 + walked) * PICTURE


def page(found: Mapping[str, Mapping[str, Any]], options: Memory) -> str:
    """docs/training-memory.md."""
    base = found["batch"]["bytes"]
    rows: list[Row] = []
    for count in options.images:
        for way in ("memory", "store"):
            held = in_memory(count, WALKED) if way == "memory" else 0
            peak = found[f"{count}-{way}"]["bytes"]
            rows.append(
                {
                    "images": f"{count:,}",
                    "latents and walks": "in memory" if way == "memory" else "in a --store",
                    "by arithmetic, GB": gigabytes(base + held),
                    "measured, GB": gigabytes(peak),
                }
            )
    steps: list[Row] = [
        {
            "--train.batch-size": batch,
            "as it is, GB": gigabytes(found[f"step-{batch}"]["bytes"]),
            "--train.checkpointing, GB": gigabytes(found[f"step-{batch}-checkpointing"]["bytes"]),
        }
        for batch in (1, 2)
    ]
    slope = found["step-2"]["bytes"] - found["step-1"]["bytes"]
    lean = found["step-2-checkpointing"]["bytes"] - found["step-1-checkpointing"]["bytes"]
    first = found["step-1"]["bytes"] - slope
    whole = in_memory(1000, DEFAULT_WALKED)
    return f"""# Memory of training at 256 x 256

Written by `python benchmarks/training_memory.py`. GB are 10^9 bytes, the most that a process held.

## The arithmetic

Training holds three things.

1. The network, the encoder and Python: {gigabytes(first)} GB with the paper's DDPM
   (`{options.network}`, random weights) and an image tower of CLIP ViT-B/16's shape.
2. For every image of `--train.batch-size` the activations of one optimiser step:
   {gigabytes(slope)} GB, or {gigabytes(lean)} GB with `--train.checkpointing`. Where a GPU's memory
   does not suffice, the batch is divided and its gradients are added up; the direction stays the
   same to rounding.
3. For every image to train on, without `--store`: the picture, its latent, x where
   editing begins, and P_t at each of the k timesteps of the interval, (3 + k) x
   {PICTURE / 1e6:.3f} MB. The default grid of {DEFAULT_STEPS} steps has k = {DEFAULT_WALKED} from T
   to {T_EDIT}: 1,000 images take {gigabytes(whole)} GB. With `--store` they lie on the disk, and
   memory holds those of one batch. `--train.along noised` keeps only the pictures.

## Images

`asyrp train` with a network of a few thousand weights, so that images weigh; k = {WALKED}. By
arithmetic: what the same command takes for one batch of {BATCH}, and (3 + k) x
{PICTURE / 1e6:.3f} MB an image.

{markdown(rows)}

## One optimiser step

{markdown(steps)}
"""


def gigabytes(count: float) -> str:
    """Of 10^9 bytes."""
    return f"{count / 1e9:.2f}"


if __name__ == "__main__":
    main(tyro.cli(Memory))
