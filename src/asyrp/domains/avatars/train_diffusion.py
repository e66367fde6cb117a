"""Training of the world's diffusion model, and the card that says how good it is."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from asyrp.domains.avatars.diffusion import SCHEDULER_CONFIG, new_unet, save_pipeline, v_loss
from asyrp.domains.avatars.judge import load_judge
from asyrp.domains.avatars.judging import AvatarJudge
from asyrp.domains.avatars.pictures import machine, pictures
from asyrp.domains.training_loop import LoopSettings, LoopStep, optimise
from asyrp.method.editing import invert
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import from_config
from asyrp.runtime.generators import seeded
from asyrp.scorers.judge import answers
from asyrp.storage.images import from_uint8
from asyrp.storage.json_files import write_text
from asyrp.storage.shipped import shipped
from asyrp.storage.untrusted.tensors import load_safetensors

FACES, BATCH, STEPS, MEASURED = 32_000, 16, 14_000, 64


class Quality(NamedTuple):
    """Of 40-step inversion and reconstruction of validation faces.

    mse: mean and worst of the images in [-1, 1]. changed: share of judged attributes that changed.
    """

    refinements: int
    mse: float
    worst: float
    changed: float


def train(data: np.ndarray, steps: int, checkpoint: Path | None = None) -> Iterator[LoopStep]:
    """Train on (n, 64, 64, 3) uint8 pictures; the last step's `ema` is the network to keep."""
    unet = seeded(0, new_unet)
    yield from optimise(unet, v_loss(unet, data, BATCH, 0), LoopSettings(steps), checkpoint)


def run(cache: Path, out: Path, steps: int = STEPS) -> Iterator[LoopStep]:
    """Draw what is not in the cache, train (or continue), and write the pipeline and its card.

    Writes the folder avatars-64 and avatars-64.md into `out`; the checkpoint stays in `cache`.
    """
    data = pictures("train", FACES, cache)
    checkpoint = cache / f"diffusion-{steps}.safetensors"
    started, done = time.monotonic(), 0
    for step in train(data, steps, checkpoint):
        done += 1
        yield step
    pace = (time.monotonic() - started) / done if done else 0.0
    unet = new_unet()
    state = load_safetensors(checkpoint)
    unet.load_state_dict({k.removeprefix("ema."): v for k, v in state.items() if k[:4] == "ema."})
    save_pipeline(unet, out / "avatars-64")
    unet.half().float()  # measure the network that was written
    model = HSpaceUNet(unet, from_config(SCHEDULER_CONFIG), "v_prediction")
    faces = from_uint8(pictures("validation", MEASURED, cache))
    rows = [measure(model, faces, refinements) for refinements in (0, 1)]
    write_text(out / "avatars-64.md", card(rows, steps, f"{pace:.2f} s a step"))


def measure(model: HSpaceUNet, faces: Tensor, refinements: int) -> Quality:
    """Invert and reconstruct faces (n, 3, 64, 64) in 40 steps."""
    done = invert(model, faces, refinements=refinements)
    judge = AvatarJudge(load_judge())
    before, after = answers(judge, faces), answers(judge, done.reconstructions)
    changed = float(np.mean([before[f] != after[f] for f in before]))
    return Quality(refinements, done.errors.mean().item(), done.errors.max().item(), changed)


def card(rows: list[Quality], steps: int, pace: str) -> str:
    """The model card, Markdown."""
    table = "\n".join(
        f"| {row.refinements} | {row.mse:.5f} | {row.worst:.5f} | {100 * row.changed:.2f} |"
        for row in rows
    )
    return shipped(__package__, "cards", "diffusion.md").read_text("utf-8").format(
        faces=FACES, steps=steps, batch=BATCH, pace=pace, measured=MEASURED, table=table,
        **machine(),
    )  # fmt: skip
