"""Training of the world's judge: ten cross-entropies on mildly corrupted pictures, and its card."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from asyrp.domains.avatars.avatars import FACTORS, SIZE
from asyrp.domains.avatars.judge import JudgeNetwork, load_judge
from asyrp.domains.avatars.pictures import HIDDEN, labels, machine, pictures
from asyrp.domains.training_loop import LoopSettings, LoopStep, optimise
from asyrp.errors import AsyrpError
from asyrp.runtime.generators import seeded
from asyrp.storage.files import save_tensors
from asyrp.storage.images import from_uint8
from asyrp.storage.json_files import write_text
from asyrp.storage.shipped import shipped

STEPS = 1_400  # of the shipped weights
FACES, UNSEEN, BATCH = 24_000, 0.12, 64
TEST_FACES, TEST_UNSEEN = 4_000, 0.1
MOST_BLUR, MOST_NOISE, MOST_LIGHT = 0.8, 0.08, 0.03  # sigma in pixels, sigma, share
LEARNING_RATE = 3e-3


class Quality(NamedTuple):
    """How well one factor is read: share right where visible, and the value worst recalled."""

    right: float
    worst_value: str
    worst_recall: float


def gaussian_rows(sigma: Tensor, shift: Tensor, size: int = SIZE) -> Tensor:
    """Matrices (b, size, size) that blur and shift along an axis; the border is repeated.

    Row i weighs pixel j by exp(-(i + shift - j)^2 / (2 sigma^2)); rows sum to 1.

    Args:
        sigma: (b,) pixels, > 0.
        shift: (b,) pixels.
    """
    grid = torch.arange(size, dtype=torch.float32)
    centres = (grid + shift[:, None]).clamp(0, size - 1)
    exponents = -((centres[:, :, None] - grid) ** 2) / (2 * sigma[:, None, None] ** 2)
    return exponents.softmax(2)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """(b, 3, 64, 64) under a Gaussian of `sigma` pixels."""
    rows = gaussian_rows(torch.tensor([sigma]), torch.zeros(1))[:, None]
    return rows @ images @ rows.transpose(2, 3)


def spoilt(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blur, a shift of up to a pixel, brightness and noise, each of its own strength a picture.

    What a diffusion model's reconstruction does to a face, (b, 3, 64, 64) -> the same shape.
    """
    draw = torch.rand(3, len(images), generator=generator)
    shift = torch.randint(-1, 2, (2, len(images)), generator=generator)
    sigma = draw[0] * MOST_BLUR + 0.05
    down, across = gaussian_rows(sigma, shift[0])[:, None], gaussian_rows(sigma, shift[1])[:, None]
    soft = down @ images @ across.transpose(2, 3)
    light = (1 + MOST_LIGHT * (2 * draw[1] - 1)).view(-1, 1, 1, 1)
    noise = torch.randn(images.shape, generator=generator) * draw[2].view(-1, 1, 1, 1)
    return (soft + 1) * light - 1 + MOST_NOISE * noise


def judge_loss(
    judge: JudgeNetwork, data: np.ndarray, known: np.ndarray, seed: int
) -> Callable[[int], Tensor]:
    """Mean over factors of the cross-entropy where the factor is visible.

    Args:
        data: (n, 64, 64, 3) uint8.
        known: (n, factors) indices, HIDDEN where not visible.
    """
    targets = torch.from_numpy(known.astype(np.int64))

    def loss_at(step: int) -> Tensor:
        rng = np.random.default_rng([seed, step])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        rows = np.sort(rng.choice(len(data), BATCH, replace=False))
        logits = judge(spoilt(from_uint8(data[rows]), generator))
        pairs = zip(FACTORS, targets[rows].T, strict=True)
        return torch.stack([_masked(logits[factor], target) for factor, target in pairs]).mean()

    return loss_at


def _masked(logits: Tensor, target: Tensor) -> Tensor:
    total = functional.cross_entropy(logits, target, ignore_index=HIDDEN, reduction="sum")
    return total / (target != HIDDEN).sum().clamp(min=1)


def train(
    data: np.ndarray, known: np.ndarray, steps: int, checkpoint: Path | None = None
) -> Iterator[LoopStep]:
    """Train on pictures and their labels; the last step's `ema` is the judge."""
    judge = seeded(1, JudgeNetwork)
    settings = LoopSettings(
        steps, LEARNING_RATE, decay_share=0.5, ema_decay=0.99, weight_decay=0.02
    )
    yield from optimise(judge, judge_loss(judge, data, known, 11), settings, checkpoint)


@torch.no_grad()
def decisions(judge: JudgeNetwork, images: Tensor) -> np.ndarray:
    """(n, 3, 64, 64) -> (n, factors) indices, 250 pictures at a time."""
    return torch.cat([judge.decide(part) for part in torch.split(images, 250)]).numpy()


def quality(decided: np.ndarray, known: np.ndarray) -> dict[str, Quality]:
    """Compare (n, factors) decisions with labels, for each factor where it is visible."""
    return {
        factor: _quality(decided[:, column], known[:, column], list(values))
        for column, (factor, values) in enumerate(FACTORS.items())
    }


def _quality(decided: np.ndarray, known: np.ndarray, values: list[str]) -> Quality:
    right = decided == known
    recalls = {
        value: float(right[known == index].mean())
        for index, value in enumerate(values)
        if (known == index).any()
    }
    worst = min(recalls, key=lambda value: recalls[value])
    return Quality(float(right[known != HIDDEN].mean()), worst, recalls[worst])


def save_judge(judge: nn.Module, path: Path) -> None:
    """Write the weights in fp16, whole or not at all."""
    save_tensors(path, {name: value.half() for name, value in judge.state_dict().items()}, {})


def run(cache: Path, out: Path, steps: int = STEPS) -> Iterator[LoopStep]:
    """Draw, train, test, and write judge.safetensors and judge.md into the folder `out`.

    A run that was stopped continues from a checkpoint in `cache`, which is removed at the end.

    Raises:
        AsyrpError: that checkpoint has no step left to train.
    """
    checkpoint = cache / "judge.checkpoint.safetensors"
    data, known = pictures("judge", FACES, cache, UNSEEN), labels("judge", FACES, UNSEEN)
    started, first, last = time.monotonic(), None, None
    for last in train(data, known, steps, checkpoint):
        first = first or last.step
        yield last
    if last is None or first is None:
        raise AsyrpError(
            f"needed a step to train; {str(checkpoint)!r} has done all {steps}; delete it"
        )
    seconds = (time.monotonic() - started) / (last.step - first + 1) * steps
    save_judge(last.ema, out / "judge.safetensors")
    images = from_uint8(pictures("test", TEST_FACES, cache, TEST_UNSEEN))
    truth = labels("test", TEST_FACES, TEST_UNSEEN)
    judge = load_judge(out / "judge.safetensors")
    clear = quality(decisions(judge, images), truth)
    soft = quality(decisions(judge, blurred(images, 0.6)), truth)
    write_text(out / "judge.md", card(clear, soft, steps, seconds))
    checkpoint.unlink()


def card(
    clear: Mapping[str, Quality], soft: Mapping[str, Quality], steps: int, seconds: float
) -> str:
    """The card of the weights, with what was measured on the split `test`."""
    rows = [
        f"| {factor} | {100 * q.right:.2f} % | {q.worst_value} {100 * q.worst_recall:.2f} % "
        f"| {100 * soft[factor].right:.2f} % "
        f"| {soft[factor].worst_value} {100 * soft[factor].worst_recall:.2f} % |"
        for factor, q in clear.items()
    ]
    return shipped(__package__, "cards", "judge.md").read_text("utf-8").format(
        faces=FACES, unseen=UNSEEN, blur=MOST_BLUR, noise=MOST_NOISE, light=100 * MOST_LIGHT,
        rate=LEARNING_RATE, batch=BATCH, steps=steps, minutes=seconds / 60, rows="\n".join(rows),
        test_faces=TEST_FACES, test_unseen=TEST_UNSEEN, cores=os.cpu_count(), **machine(),
    )  # fmt: skip
