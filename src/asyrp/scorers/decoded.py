"""Encoders and distances that see the pictures behind latents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from asyrp.method.latent_space import Space
from asyrp.method.protocols import PerceptualDistance, TextImageEncoder, Thresholds, templates_of


@dataclass(frozen=True)
class DecodedEncoder:
    """A text-image encoder whose images are latents: it sees their decoded pictures."""

    encoder: TextImageEncoder
    space: Space

    @property
    def name(self) -> str:
        """What a direction file records as its guide."""
        return self.encoder.name

    @property
    def text_common(self) -> float:
        """Share that all its texts have in common; see `TextImageEncoder`."""
        return self.encoder.text_common

    @property
    def templates(self) -> Sequence[str]:
        """The sentences that the text direction is averaged over."""
        return templates_of(self.encoder)

    def image_features(self, images: Tensor) -> Tensor:
        """Clean latents, such as P_t -> (b, d) of unit norm, differentiable."""
        return self.encoder.image_features(self.space.decode(images))

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """n texts -> (n, d) of unit norm."""
        return self.encoder.text_features(texts)


@dataclass(frozen=True)
class DecodedDistance:
    """A perceptual distance whose images are latents: it compares their decoded pictures."""

    distance: PerceptualDistance
    space: Space

    @property
    def name(self) -> str:
        """What a report records."""
        return self.distance.name

    @property
    def thresholds(self) -> Thresholds:
        """Its cuts for t_edit and t_boost."""
        return self.distance.thresholds

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Two batches of latents -> (b,), 0 for equal ones."""
        return self.distance_from(a)(b)

    def distance_from(self, a: Tensor) -> Callable[[Tensor], Tensor]:
        """The distance from the same latents, which are decoded once."""
        pictures = self.space.decode(a)
        return lambda b: self.distance(pictures, self.space.decode(b))


@dataclass(frozen=True)
class Decoded:
    """A network of pictures that looks at clean x: a feature network or a segmenter."""

    network: Any
    space: Space

    @property
    def name(self) -> str:
        """What a report records."""
        return str(self.network.name)

    def __call__(self, images: Tensor) -> Tensor:
        """(b, c, height, width) -> features (b, d)."""
        return cast(Tensor, self.network(self._pictures(images)))

    def masks(self, images: Tensor) -> np.ndarray:
        """(n, c, height, width) -> masks (n, height', width')."""
        return cast(np.ndarray, self.network.masks(self._pictures(images)))

    def _pictures(self, x: Tensor) -> Tensor:
        return torch.cat([self.space.decode(one[None]) for one in x])
