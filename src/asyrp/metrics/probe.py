"""Where the meaning is: how well a line through h separates each attribute, timestep by timestep.

Two minutes that say whether a network is worth editing, and from which timestep on. Linear probes
(Alain and Bengio 2017) on h of noised images; ridge regression in its dual form, since h is wider
than there are images.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from asyrp.method.hspace import HSpaceUNet
from asyrp.runtime.batching import by_batches

TIMESTEPS = (100, 200, 300, 450, 600, 800)
RIDGE = 0.3  # of the mean squared length of an image's standardised h
BATCH = 50


@torch.no_grad()
def noised_h(model: HSpaceUNet, images: Tensor, t: int, seed: int = 0) -> Tensor:
    """h of images (n, c, height, width) after t steps of noise, flat and in float32, (n, d)."""
    alpha_bar = model.schedule.alpha_bar(t)
    generator = torch.Generator().manual_seed(seed * 1_000 + t)
    parts = [torch.randn(x0.shape, generator=generator) for x0 in images.split(BATCH)]
    x = alpha_bar**0.5 * images + (1 - alpha_bar) ** 0.5 * torch.cat(parts)

    def found(x: Tensor) -> Tensor:
        return model.encode(x.to(model.device), t).h.flatten(1).float().cpu()

    return by_batches(found, BATCH, x)


def area_under_curve(yes: np.ndarray, no: np.ndarray) -> float:
    """The chance that a score of `yes` is above one of `no` (Mann-Whitney); 0.5 without any."""
    if not len(yes) or not len(no):
        return 0.5
    return float(np.searchsorted(np.sort(no), yes).sum() / (len(yes) * len(no)))


def probed(h: Tensor, labels: np.ndarray) -> list[float]:
    """Area under the curve of each label (n, k) on the second half, by a probe of the first half.

    h: (n, d).
    """
    half = len(h) // 2
    h = (h - h[:half].mean(0)) / (h[:half].std(0) + 1e-6)
    gram = (h @ h[:half].T).double().numpy()
    ridge = RIDGE * np.trace(gram[:half]) / half * np.eye(half)
    targets = labels[:half].astype(float) - labels[:half].mean(0)
    scores = gram[half:] @ np.linalg.solve(gram[:half] + ridge, targets)
    known = labels[half:]
    return [area_under_curve(s[y], s[~y]) for s, y in zip(scores.T, known.T, strict=True)]


def probe(
    model: HSpaceUNet,
    images: Tensor,
    labels: Mapping[str, np.ndarray],
    timesteps: Sequence[int] = TIMESTEPS,
) -> dict[str, dict[int, float]]:
    """attribute -> timestep -> area under the curve of a linear probe on h, held out.

    Args:
        images: (n, c, height, width) in [-1, 1]; half of them train the probe.
        labels: attribute -> (n,) bool.
    """
    known = np.stack(list(labels.values()), axis=1)
    found = {t: probed(noised_h(model, images, t), known) for t in timesteps}
    return {name: {t: found[t][k] for t in timesteps} for k, name in enumerate(labels)}
