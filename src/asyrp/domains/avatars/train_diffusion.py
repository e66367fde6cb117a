"""Training of the world's diffusion model, and the card that says how good it is."""

import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from asyrp.domains.avatars.diffusion import (
    SCHEDULER_CONFIG,
    new_unet,
    save_pipeline,
    to_unit,
    v_loss,
)  # fmt: skip
from asyrp.domains.avatars.judge import load_judge
from asyrp.domains.avatars.judging import AvatarJudge
from asyrp.domains.avatars.pictures import pictures
from asyrp.domains.training_loop import LoopSettings, LoopStep, optimise
from asyrp.method.editing import invert
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import from_config
from asyrp.scorers.judge import answers
from asyrp.storage.files import atomic_path
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
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        unet = new_unet()
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
    faces = to_unit(pictures("validation", MEASURED, cache))
    rows = [measure(model, faces, refinements) for refinements in (0, 1)]
    with atomic_path(out / "avatars-64.md") as temporary:
        temporary.write_text(card(rows, steps, f"{pace:.2f} s a step"), encoding="utf-8")


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
    return f"""# avatars-64

Diffusion model of the world avatars-64: a diffusers `UNet2DModel` (64 x 64 RGB, bottleneck
128 x 8 x 8, v-prediction, T = 1000, linear betas) that `DDIMPipeline.from_pretrained` loads.
Written by `asyrp.domains.avatars.train_diffusion`. Weights in fp16. Licence: MIT, as the package.

**Data.** {FACES:,} faces of the split `train`, drawn without the unseen
values (blue hair, green skin).

**Recipe.** {steps:,} steps of {BATCH} pictures, {pace}: v-prediction loss, timesteps
stratified over the batch; AdamW, rate 0.001 falling to 0 over the last 30 %, average of the
weights (0.999). Machine: {torch.get_num_threads()} threads of a {platform.machine()} CPU,
torch {torch.__version__}.

**Quality**, of these fp16 weights: inversion and reconstruction of {MEASURED} faces of the split
`validation` in 40 steps, source convention.

| refinements a step | MSE in [-1, 1], mean | worst image | judged attributes changed, % |
|---|---|---|---|
{table}

**Limits.** It knows this artwork alone. Without refinements the inversion of a few faces
drifts at high t, so every command of asyrp refines once unless told otherwise.
"""
