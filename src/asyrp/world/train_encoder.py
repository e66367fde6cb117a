"""Training of the built-in text-image encoder: matching captions, and directions of exact swaps."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from asyrp.images import from_uint8
from asyrp.world.avatars import FACTORS, draw, sample_face
from asyrp.world.captions import caption, pair, queries
from asyrp.world.encoder import AvatarEncoder
from asyrp.world.loop import LoopSettings, LoopStep, optimise
from asyrp.world.pictures import labels, pictures

FACES, SWAPS, UNSEEN, BATCH = 16_000, 4_000, 0.12, 96


def swap(index: int) -> tuple[str, str]:
    """Factor and new value of swap number `index`."""
    rng = np.random.default_rng([99, index])
    factor = str(rng.choice(list(FACTORS)))
    return factor, str(rng.choice(list(FACTORS[factor])))


def swapped_pictures(count: int) -> np.ndarray:
    """The first faces of the split with one value swapped, (count, 64, 64, 3) uint8."""
    faces = [sample_face("encoder", i, UNSEEN).replaced(*swap(i)) for i in range(count)]
    return np.stack([draw(face) for face in faces])


def degraded(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blur (sigma 0 to 3 pixels) and noise (0 to 0.3), as P_t shows them; half the batch stays."""
    sigma = float(torch.rand((), generator=generator)) * 3 + 0.05
    grid = torch.arange(-6, 7).float()
    kernel = torch.exp(-(grid**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, 13)
    half = len(images) // 2
    soft = functional.conv2d(functional.pad(images[:half], (6, 6, 6, 6), "replicate"), kernel, groups=3)
    soft = functional.conv2d(soft, kernel.transpose(2, 3), groups=3)
    level = torch.rand(len(images), 1, 1, 1, generator=generator) * 0.3
    level[half + half // 2 :] = 0.02
    mixed = torch.cat([soft, images[half:]])
    return mixed + level * torch.randn(images.shape, generator=generator)


def matches(mentions: list[dict[str, str]], rows: np.ndarray) -> Tensor:
    """Which pictures every caption is true of, (captions, pictures) bool, from their labels."""
    fits = torch.ones(len(mentions), len(rows), dtype=torch.bool)
    names = list(FACTORS)
    for i, mention in enumerate(mentions):
        for factor, value in mention.items():
            column = rows[:, names.index(factor)]
            fits[i] &= torch.from_numpy(column == list(FACTORS[factor]).index(value))
    return fits


def encoder_loss(
    encoder: AvatarEncoder, data: np.ndarray, swaps: np.ndarray, seed: int
) -> Callable[[int], Tensor]:
    """Sigmoid loss over all caption-picture pairs, and 1 - cos(dI, dT) of exact swaps."""
    known = labels("encoder", len(data), UNSEEN)

    def loss_at(step: int) -> Tensor:
        rng = np.random.default_rng([seed, step])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        rows = rng.integers(len(data), size=BATCH)
        made = [caption(sample_face("encoder", int(i), UNSEEN), rng) for i in rows]
        images = degraded(from_uint8(data[rows]), generator)
        text = encoder.embed(encoder.tokens([c.text for c in made]))
        logits = text @ encoder.image_features(images).T * encoder.logit_scale.exp()
        signs = matches([dict(c.mentions) for c in made], known[rows]).float() * 2 - 1
        contrast = -functional.logsigmoid(signs * (logits + encoder.logit_bias)).sum(1).mean() / 8
        return contrast + 2 * directional(encoder, data, swaps, rng, generator)

    return loss_at


def directional(
    encoder: AvatarEncoder,
    data: np.ndarray,
    swaps: np.ndarray,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> Tensor:
    """1 - cos(dI, dT) of swaps; dI from value a to b is T(b) - T(noun) less T(a) - T(noun)."""
    rows = rng.integers(len(swaps), size=48)
    old, new = [], []
    keep = []
    for k, i in enumerate(rows):
        face, (factor, value) = sample_face("encoder", int(i), UNSEEN), swap(int(i))
        if face.values[factor] == value or face.label(factor) is None:
            continue
        keep.append(k)
        new.append(pair(factor, value, rng))
        old.append(pair(factor, face.values[factor], rng))
    picked = rows[keep]
    both = torch.cat([from_uint8(data[picked]), from_uint8(swaps[picked])])
    order = torch.arange(len(both)).view(2, -1).T.flatten()  # each picture and its swap side by side
    features = encoder.image_features(degraded(both[order], generator)).view(-1, 2, 128)
    dI = functional.normalize(features[:, 1] - features[:, 0], dim=1)
    flat = [t for texts in zip(new, old, strict=True) for two in texts for t in two]
    text = encoder.embed(encoder.tokens(flat)).view(-1, 4, 128)
    to_new = functional.normalize(text[:, 1] - text[:, 0], dim=1)
    away = functional.normalize(text[:, 3] - text[:, 2], dim=1)
    exact = 1 - (dI * functional.normalize(to_new - away, dim=1)).sum(1)
    towards = (0.65 - (dI * to_new).sum(1)).clamp(min=0)
    codes = torch.tensor([list(FACTORS).index(swap(int(i))[0]) for i in picked])
    cross = (to_new @ dI.T)[codes[:, None] != codes[None]]
    return exact.mean() + towards.mean() + 4 * cross.square().mean()


def train(
    data: np.ndarray, swaps: np.ndarray, steps: int, checkpoint: Path | None = None
) -> Iterator[LoopStep]:
    """Train; the last step's `ema` is the encoder."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(1)
        encoder = AvatarEncoder()
    settings = LoopSettings(steps, learning_rate=2e-3, ema_decay=0.995, weight_decay=0.01)
    yield from optimise(encoder, encoder_loss(encoder, data, swaps, 7), settings, checkpoint)


@torch.no_grad()
def zero_shot(encoder: AvatarEncoder, count: int = 2000) -> dict[str, float]:
    """Share of visible values named right by the nearest text, on the test split."""
    images = from_uint8(pictures("test", count, None, 0.1))
    known = torch.from_numpy(labels("test", count, 0.1).astype(np.int64))
    features = torch.cat([encoder.image_features(part) for part in images.split(250)])
    scores = {}
    for column, factor in enumerate(FACTORS):
        texts = [encoder.text_features(words).mean(0) for words in queries(factor).values()]
        named = (features @ torch.stack(texts).T).argmax(1)
        shown = known[:, column] >= 0
        scores[factor] = float((named == known[:, column])[shown].double().mean())
    return scores
