"""Encoders, distances and networks that see the pictures behind latents."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from asyrp.method.latent_space import Pixels, Space


class Decoded:
    """A network of pictures whose images are clean x of a latent space: it sees them decoded.

    In all else, its name, texts and thresholds, it is the network.
    """

    def __init__(self, network: Any, space: Space):
        self.network, self.space = network, space

    def __getattr__(self, name: str) -> Any:
        if name == "network":  # while it is being copied
            raise AttributeError(name)
        return getattr(self.network, name)

    def image_features(self, images: Tensor) -> Tensor:
        """Of an encoder: x, such as P_t -> (b, d) of unit norm, differentiable."""
        return cast(Tensor, self.network.image_features(self.space.decode(images)))

    def __call__(self, *images: Tensor) -> Tensor:
        """Of a distance: two batches of x -> (b,). Of a feature network: one -> (b, d)."""
        if len(images) > 1:
            return self.distance_from(images[0])(images[1])
        return cast(Tensor, self.network(self._each(images[0])))

    def distance_from(self, a: Tensor) -> Callable[[Tensor], Tensor]:
        """Of a distance: that from the same x, which is decoded once."""
        pictures = self.space.decode(a)
        return lambda b: self.network(pictures, self.space.decode(b))

    def masks(self, images: Tensor) -> np.ndarray:
        """Of a segmenter: (n, c, height, width) -> masks (n, height', width')."""
        return cast(np.ndarray, self.network.masks(self._each(images)))

    def _each(self, x: Sequence[Tensor] | Tensor) -> Tensor:
        return torch.cat([self.space.decode(one[None]) for one in x])


def decoded(network: Any, space: Space) -> Any:
    """A network of pictures that looks at x of a space."""
    return network if isinstance(space, Pixels) else Decoded(network, space)
