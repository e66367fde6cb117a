"""Training of the world's segmenter on the exact masks of drawn faces, and its card."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.domains.avatars.masks import PARTS, draw_mask
from asyrp.domains.avatars.pictures import by_processes, kept, machine
from asyrp.domains.avatars.segmenter import Segmenter, load_segmenter
from asyrp.domains.avatars.train_judge import blurred, gaussian_rows
from asyrp.domains.training_loop import LoopSettings, LoopStep, optimise
from asyrp.metrics.structure import mean_iou
from asyrp.runtime.generators import seeded
from asyrp.storage.files import save_tensors
from asyrp.storage.images import from_uint8
from asyrp.storage.json_files import write_text
from asyrp.storage.shipped import shipped

STEPS = 900  # of the shipped weights
FACES, UNSEEN, BATCH = 1_200, 0.12, 16
TEST_FACES = 200
MOST_BLUR, MOST_NOISE = 1.0, 0.08  # sigma in pixels, sigma
LEARNING_RATE = 4e-3


def drawn(split: str, count: int, cache: Path | None = None, workers: int = 2) -> np.ndarray:
    """Pictures with their masks as a fourth channel, (count, 64, 64, 4) uint8, kept in `cache`."""
    path = cache / f"{split}-{count}-parts.npy" if cache else None
    return kept(path, lambda: by_processes(partial(_one, split), range(count), workers))


def _one(split: str, index: int) -> np.ndarray:
    face = sample_face(split, index, UNSEEN)
    return np.concatenate([draw(face), draw_mask(face)[..., None]], axis=2)


def spoilt(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blur and noise of a strength of their own a picture; no pixel moves, so masks stay true."""
    strength = torch.rand(2, len(images), generator=generator)
    rows = gaussian_rows(strength[0] * MOST_BLUR + 0.05, torch.zeros(len(images)))[:, None]
    noise = torch.randn(images.shape, generator=generator) * strength[1].view(-1, 1, 1, 1)
    return rows @ images @ rows.transpose(2, 3) + MOST_NOISE * noise


def segmenter_loss(network: nn.Module, data: np.ndarray, seed: int) -> Callable[[int], Tensor]:
    """Cross-entropy of every pixel, with half of the pictures mirrored."""

    def loss_at(step: int) -> Tensor:
        rng = np.random.default_rng([seed, step])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        batch = data[np.sort(rng.choice(len(data), BATCH, replace=False))]
        batch = np.concatenate([batch[: BATCH // 2], batch[BATCH // 2 :, :, ::-1]])
        images = spoilt(from_uint8(batch[..., :3]), generator)
        targets = torch.from_numpy(batch[..., 3].astype(np.int64))
        return functional.cross_entropy(network(images), targets)

    return loss_at


def train(
    data: np.ndarray, steps: int = STEPS, checkpoint: Path | None = None
) -> Iterator[LoopStep]:
    """Train on pictures with masks; the last step's `ema` is the segmenter."""
    network = seeded(2, Segmenter)
    settings = LoopSettings(steps, LEARNING_RATE, 100, decay_share=0.5, ema_decay=0.98)
    yield from optimise(network, segmenter_loss(network, data, 12), settings, checkpoint)


def run(cache: Path, out: Path, steps: int = STEPS) -> Iterator[LoopStep]:
    """Draw, train, test, and write segmenter.safetensors and segmenter.md into `out`.

    A run that was stopped continues from a checkpoint in `cache`.
    """
    data = drawn("train", FACES, cache)
    for step in train(data, steps, cache / "segmenter.checkpoint.safetensors"):
        yield step
        if step.step == steps:
            state = {name: value.half() for name, value in step.ema.state_dict().items()}
            save_tensors(out / "segmenter.safetensors", state, {})
            card = card_of(load_segmenter(out / "segmenter.safetensors"), cache, steps)
            write_text(out / "segmenter.md", card)


def card_of(segmenter: Segmenter, cache: Path, steps: int) -> str:
    """The card of the weights, with the IoU of every part on the split `test`."""
    data = drawn("test", TEST_FACES, cache)
    images, truth = from_uint8(data[..., :3]), data[..., 3]
    clear, soft = segmenter.masks(images), segmenter.masks(blurred(images, 0.8))
    rows = [
        f"| {part} | {100 * _iou(clear, truth, index):.1f} | {100 * _iou(soft, truth, index):.1f} |"
        for index, part in enumerate(PARTS)
    ]
    return shipped(__package__, "cards", "segmenter.md").read_text("utf-8").format(
        faces=FACES, unseen=UNSEEN, steps=steps, batch=BATCH, blur=MOST_BLUR, noise=MOST_NOISE,
        tests=TEST_FACES, rows="\n".join(rows), mean=100 * mean_iou(truth, clear).mean(),
        soft=100 * mean_iou(truth, soft).mean(), **machine(),
    )  # fmt: skip


def _iou(found: np.ndarray, truth: np.ndarray, part: int) -> float:
    a, b = found == part, truth == part
    return float((a & b).sum() / (a | b).sum())
