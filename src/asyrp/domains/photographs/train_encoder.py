"""Training of the photographs' text-image encoder: captions, pairs of texts, and attacks."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from asyrp.domains.augmentation import degraded, moved
from asyrp.domains.photographs.captions import ATTRIBUTES, language, pair, phrase
from asyrp.domains.photographs.pictures import Labelled
from asyrp.domains.training_loop import LoopSettings, LoopStep, optimise
from asyrp.scorers.word_encoder import WordEncoder
from asyrp.storage.images import from_uint8

BATCH, PLAIN, ROBUST = 128, 1_200, 400
RADIUS, ATTACKS = 2.5, 2  # of an attack, in L2 over a picture in [-1, 1]; its gradient steps
SEED = 21


class Reader(nn.Module):
    """An encoder with what its training needs beside it: where each attribute's logit begins."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = WordEncoder(language())
        self.scale = nn.Parameter(torch.full((len(ATTRIBUTES),), 2.5))
        self.bias = nn.Parameter(torch.zeros(len(ATTRIBUTES)))

    def directions(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """dT of each attribute in words drawn anew, (k, 128), and which say that it shows, (k,)."""
        shows = rng.random(len(ATTRIBUTES)) < 0.7
        pairs = [pair(name, bool(yes), rng) for name, yes in zip(ATTRIBUTES, shows, strict=True)]
        texts = self.encoder.embed(self.encoder.tokens([t for two in pairs for t in two]))
        source, target = texts.view(-1, 2, texts.shape[1]).unbind(1)
        return functional.normalize(target - source, dim=1), torch.from_numpy(shows)

    def answers(self, features: Tensor, directions: Tensor, shows: Tensor) -> Tensor:
        """Log-odds that each attribute shows, (b, k)."""
        logits = features @ directions.T * torch.where(shows, 1.0, -1.0)
        return logits * self.scale.exp() + self.bias


def encoder_loss(reader: Reader, data: Labelled, steps: int) -> Callable[[int], Tensor]:
    """SigLIP's loss over captions and pictures (Zhai et al. 2023), and that of each attribute.

    An attribute's logit is cos(E(picture), dT) of a pair such as "face", "smiling face", which is
    what guides an edit. The last ROBUST steps see pictures that were moved against the answers.
    """
    encoder = reader.encoder
    known = torch.from_numpy(np.stack([data.column(name) for name in ATTRIBUTES], axis=1))
    rate = known.float().mean(0)
    weight = ((1 - rate) / rate).sqrt()
    shown = [np.flatnonzero(known[:, k].numpy()) for k in range(known.shape[1])]

    def loss_at(step: int) -> Tensor:
        rng = np.random.default_rng([SEED, step])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        rows = _balanced(shown, len(known), rng)
        truth = known[rows]
        images = degraded(moved(from_uint8(data.pictures[rows]), generator), generator)
        directions, shows = reader.directions(rng)

        def answered(features: Tensor, towards: Tensor = directions) -> Tensor:
            logits = reader.answers(features, towards, shows)
            return functional.binary_cross_entropy_with_logits(
                logits, truth.float(), pos_weight=weight
            )

        if step >= steps - ROBUST:
            radius = RADIUS * torch.rand(len(images), generator=generator)
            fixed = directions.detach()
            images = attacked(images, radius, lambda x: answered(encoder.image_features(x), fixed))
        features = encoder.image_features(images)
        cosines = directions @ directions.T
        apart = (cosines - torch.eye(len(cosines))).square().mean()
        return answered(features) * 4 + captioned(encoder, features, truth, rng) + 4 * apart

    return loss_at


def captioned(
    encoder: WordEncoder, features: Tensor, truth: Tensor, rng: np.random.Generator
) -> Tensor:
    """The sigmoid loss of captions of up to three values with all pictures they are true of."""
    texts, fits = [], torch.ones(len(truth), len(truth), dtype=torch.bool)
    for i, row in enumerate(truth):
        names = rng.permutation(len(ATTRIBUTES))[: int(rng.integers(1, 4))]
        texts.append(phrase({ATTRIBUTES[k]: bool(row[k]) for k in names}, rng))
        for k in names:
            fits[i] &= truth[:, k] == row[k]
    text = encoder.embed(encoder.tokens(texts))
    logits = text @ features.T * encoder.logit_scale.exp() + encoder.logit_bias
    loss: Tensor = -functional.logsigmoid(logits * (fits.float() * 2 - 1)).sum(1).mean() / 32
    return loss


def attacked(images: Tensor, radius: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Pictures moved to raise a loss, by projected gradient (Madry et al. 2018).

    Args:
        images: (b, 3, height, width). radius: the longest way of each, L2, (b,).
    """
    shift = torch.zeros_like(images)
    size = radius.view(-1, 1, 1, 1)
    for _ in range(ATTACKS):
        moving = (images + shift).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(moving), moving)
        steps = gradient / (_length(gradient) + 1e-12) * size / ATTACKS * 1.25
        shift = shift + steps
        shift = shift * (size / (_length(shift) + 1e-12)).clamp(max=1)
    return (images + shift).detach()


def _length(batch: Tensor) -> Tensor:
    norms: Tensor = batch.flatten(1).norm(dim=1)
    return norms.view(-1, 1, 1, 1)


def _balanced(shown: Sequence[np.ndarray], count: int, rng: np.random.Generator) -> np.ndarray:
    """Half of the rows at random, half by an attribute at random, so that rare ones are seen."""
    some = rng.integers(count, size=BATCH // 2)
    kinds = rng.integers(len(shown), size=BATCH - len(some))
    return np.concatenate([some, [rng.choice(shown[k]) for k in kinds]])


def train(
    data: Labelled, steps: int = PLAIN + ROBUST, checkpoint: Path | None = None
) -> Iterator[LoopStep]:
    """Train on the split `encoder`; the last step's `ema` is a Reader, whose encoder to keep."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        reader = Reader()
    settings = LoopSettings(
        steps, learning_rate=2e-3, decay_share=0.5, ema_decay=0.995, weight_decay=0.05
    )
    yield from optimise(reader, encoder_loss(reader, data, steps), settings, checkpoint)
