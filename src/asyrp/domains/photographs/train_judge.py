"""Training of the photographs' judge, on pictures of its own; thresholds from validation."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from asyrp.domains.augmentation import moved
from asyrp.domains.avatars.train_judge import spoilt
from asyrp.domains.photographs.captions import ATTRIBUTES
from asyrp.domains.photographs.judge import AttributeJudge, Reading
from asyrp.domains.photographs.pictures import Labelled
from asyrp.domains.training_loop import LoopSettings, LoopStep, optimise
from asyrp.metrics.probe import area_under_curve
from asyrp.storage.images import from_uint8

BATCH, STEPS, SEED = 96, 1_600, 31


def known_of(data: Labelled) -> np.ndarray:
    """The attributes that captions can name, (n, k) bool."""
    return np.stack([data.column(name) for name in ATTRIBUTES], axis=1)


def judge_loss(judge: AttributeJudge, data: Labelled) -> Callable[[int], Tensor]:
    """Mean binary cross-entropy over attributes, of pictures that are moved and a little spoilt."""
    known = torch.from_numpy(known_of(data)).float()

    def loss_at(step: int) -> Tensor:
        rng = np.random.default_rng([SEED, step])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        torch.default_generator.manual_seed(int(rng.integers(2**62)))  # of the dropout
        rows = np.sort(rng.choice(len(known), BATCH, replace=False))
        images = spoilt(moved(from_uint8(data.pictures[rows]), generator), generator)
        truth = known[rows] * 0.96 + 0.02
        return functional.binary_cross_entropy_with_logits(judge(images), truth)

    return loss_at


def train(data: Labelled, steps: int = STEPS, checkpoint: Path | None = None) -> Iterator[LoopStep]:
    """Train on the split `judge`; the last step's `ema` is the judge, without thresholds yet."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(2)
        judge = AttributeJudge({name: Reading() for name in ATTRIBUTES})
        settings = LoopSettings(steps, 3e-3, decay_share=0.5, ema_decay=0.995, weight_decay=0.05)
        yield from optimise(judge, judge_loss(judge, data), settings, checkpoint)


@torch.no_grad()
def read(judge: AttributeJudge, pictures: np.ndarray) -> np.ndarray:
    """Log-odds without thresholds of (n, 64, 64, 3) uint8 pictures, (n, k)."""
    parts = [judge(from_uint8(pictures[i : i + 250])) for i in range(0, len(pictures), 250)]
    return torch.cat(parts).numpy()


def calibrated(judge: AttributeJudge, validation: Labelled) -> AttributeJudge:
    """The judge with the threshold of each attribute that balances both errors on validation."""
    logits, known = read(judge.eval(), validation.pictures), known_of(validation)
    for column, name in enumerate(ATTRIBUTES):
        yes, no = logits[known[:, column], column], logits[~known[:, column], column]
        judge.readings[name] = Reading(_balanced(yes, no), area_under_curve(yes, no))
    return judge


def _balanced(yes: np.ndarray, no: np.ndarray) -> float:
    """Where as large a share of one kind lies below as of the other lies above."""
    if not len(yes) or not len(no):
        return 0.0
    cuts = np.unique(np.concatenate([yes, no]))
    missed = np.searchsorted(np.sort(yes), cuts) / len(yes)
    wrong = 1 - np.searchsorted(np.sort(no), cuts) / len(no)
    return float(cuts[np.argmin(np.abs(missed - wrong))])
