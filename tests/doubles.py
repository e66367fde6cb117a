"""Small stand-ins for the networks that guide and measure."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from asyrp.guide import Guide, new_guide
from asyrp.scorers import Thresholds
from conftest import noise

SIZE = 3 * 16 * 16


class TinyEncoder:
    """A random projection for images of 16 x 16; one random vector a text."""

    name = "tiny"
    text_common = 0.0

    def __init__(self, seed: int = 40):
        self.projection = noise(SIZE, 8, seed=seed)

    def image_features(self, images: Tensor) -> Tensor:
        return functional.normalize(images.flatten(1) @ self.projection, dim=1)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        rows = [noise(8, seed=sum(map(ord, text))) for text in texts]
        return functional.normalize(torch.stack(rows), dim=1)


class TinyDistance:
    """Root mean square difference."""

    name = "rms"
    thresholds = Thresholds(0.1, 0.5)

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).square().flatten(1).mean(1).sqrt()


def tiny_guide(target: str = "smiling face") -> Guide:
    """A text pair as `TinyEncoder` sees it."""
    return new_guide(TinyEncoder(), "face", target)
