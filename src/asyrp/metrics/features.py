"""Networks that turn images into vectors: for identity and for Frechet distances."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from asyrp.method.protocols import TextImageEncoder
from asyrp.runtime.batching import by_batches


class FeatureNetwork(Protocol):
    """A frozen network whose features stand for what an image is."""

    @property
    def name(self) -> str:
        """What a table records."""

    def __call__(self, images: Tensor) -> Tensor:
        """(b, 3, height, width) in [-1, 1] -> (b, d)."""


class EncoderFeatures:
    """The image tower of a text-image encoder as a feature network."""

    def __init__(self, encoder: TextImageEncoder) -> None:
        self.encoder, self.name = encoder, encoder.name

    def __call__(self, images: Tensor) -> Tensor:
        """(b, 3, height, width) in [-1, 1] -> (b, d) of unit norm."""
        return self.encoder.image_features(images)


@torch.no_grad()
def features_of(network: FeatureNetwork, images: Tensor, batch_size: int = 64) -> Tensor:
    """(n, 3, height, width) in [-1, 1] -> (n, d) float64 on the CPU."""
    return by_batches(lambda x: network(x.float()), batch_size, images).cpu().double()


def identity_similarity(before: Tensor, after: Tensor) -> np.ndarray:
    """Cosine between an identity network's features of source and edit, (n,); 1 is the same."""
    cosines = torch.nn.functional.cosine_similarity(before, after, dim=1)
    return cosines.cpu().numpy()


def strangers(features: Tensor) -> np.ndarray:
    """Cosine between each image and the next one, (n,): what identity falls to for two others."""
    return identity_similarity(features, features.roll(-1, dims=0))
