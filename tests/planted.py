"""An analytic diffusion network whose bottleneck holds known factors.

Images are mu + sum_j s_j z_j g_j with z ~ N(0, I) and orthonormal pictures g_j. h holds the
posterior mean of z given x_t, turned by a known rotation, so column j of it is the true direction
of factor j; P_t is the posterior mean of the image, and DDIM with it is exact.
"""

import math
import re
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from asyrp.method.hspace import Encoded, HSpaceUNet
from asyrp.method.schedule import linear
from conftest import noise

SHAPE, H_SHAPE = (3, 8, 8), (12, 2, 2)
SPREADS = (4.0, 2.0, 1.0, 0.5)  # s_j; the first is the planted factor
PLANTED = 0


class NoLayers(nn.Module):
    """In place of a U-Net."""

    def disable_gradient_checkpointing(self) -> None:
        pass


class AnySize:
    """A space whose x is the picture, of any range."""

    def picture_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        return shape

    def decode(self, x: Tensor) -> Tensor:
        return x

    encode = decode

    def fingerprint(self) -> str:
        return ""


class PlantedNetwork(nn.Module):
    """Has what a finder asks of an `HSpaceUNet`."""

    image_shape = picture_shape = SHAPE
    h_shape, h_channels, emb_channels = H_SHAPE, H_SHAPE[0], 4
    config: ClassVar[dict[str, Any]] = {}
    prediction, dtype, device = "epsilon", torch.float32, torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.schedule, self.space, self.unet = linear(), AnySize(), NoLayers()
        count = len(SPREADS)
        self.spreads = torch.tensor(SPREADS)
        self.pictures = torch.linalg.qr(noise(math.prod(SHAPE), count, seed=1))[0]
        turned = torch.linalg.qr(noise(H_SHAPE[0], count, seed=2))[0]  # the same at every place
        self.turn = turned[:, None, None, :].expand(*H_SHAPE, count).flatten(0, 2) / 2

    @property
    def t_top(self) -> int:
        return self.schedule.length - 1

    def truth(self, factor: int = PLANTED) -> Tensor:
        """The unit direction of a factor in h, (c, h', w')."""
        return self.turn[:, factor].view(H_SHAPE)

    def images_of(self, z: Tensor) -> Tensor:
        """(n, factors) -> (n, 3, 8, 8)."""
        return ((z * self.spreads) @ self.pictures.T).view(-1, *SHAPE)

    def factors_of(self, images: Tensor) -> Tensor:
        """The inverse, (n, factors)."""
        return (images.flatten(1) @ self.pictures) / self.spreads

    def encode(self, x: Tensor, t: Any, class_labels: Tensor | None = None) -> Encoded:
        alpha_bar = self.schedule.alpha_bar(int(torch.as_tensor(t).flatten()[0]))
        gain = math.sqrt(alpha_bar) * self.spreads
        z = gain / (gain.square() + 1 - alpha_bar) * (x.flatten(1) @ self.pictures)
        t = torch.as_tensor(t).expand(len(x))
        emb = (t[:, None] / 1000 * torch.arange(1, 5)).sin()
        return Encoded((z @ self.turn.T).view(-1, *H_SHAPE), (), emb, x, t)

    def decode(self, encoded: Encoded, h: Tensor | None = None) -> Tensor:
        x0 = self.images_of((encoded.h if h is None else h).flatten(1) @ self.turn)
        alpha_bar = self.schedule.alpha_bar(int(encoded.t[0]))
        return (encoded.x - math.sqrt(alpha_bar) * x0) / math.sqrt(1 - alpha_bar)

    def forward(self, x: Tensor, t: Any) -> Tensor:
        return self.decode(self.encode(x, t))

    def fingerprint(self) -> str:
        return "planted"


class FactorEncoder:
    """Looks at the factors of an image; a text names some, as in 'face +0 -2'."""

    name, text_common = "factors", 0.0

    def __init__(self, network: PlantedNetwork):
        self.network = network

    def image_features(self, images: Tensor) -> Tensor:
        z = self.network.factors_of(images)
        return functional.normalize(functional.pad(z, (1, 0), value=8.0), dim=1)

    def text_features(self, texts: Any) -> Tensor:
        rows = torch.zeros(len(texts), len(SPREADS) + 1)
        rows[:, 0] = 8.0
        for row, text in zip(rows, texts, strict=True):
            for sign, factor in re.findall(r"([+-])(\d)", text):
                row[int(factor) + 1] += float(f"{sign}1")
        return functional.normalize(rows, dim=1)


def planted() -> tuple[PlantedNetwork, HSpaceUNet]:
    """The network, once as itself and once as finders take it."""
    network = PlantedNetwork()
    return network, cast(HSpaceUNet, network)
