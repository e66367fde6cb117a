"""The segmenter of the world: says of every pixel which part of the face it shows."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from asyrp.domains.avatars.avatars import SIZE
from asyrp.domains.avatars.masks import PARTS
from asyrp.errors import AsyrpError
from asyrp.scorers.pretrained import with_weights
from asyrp.storage.shipped import shipped

NAME = "avatars-64-parts"


class Segmenter(nn.Module):
    """A small U-Net with BatchNorm, for pictures that no renderer knows: edits.

    Drawn faces have exact masks (`asyrp.domains.avatars.masks`); it was trained on them.
    """

    name = NAME

    def __init__(self) -> None:
        super().__init__()
        self.fine = _layer(3, 16)  # 64 x 64
        self.middle = nn.Sequential(_layer(16, 32, stride=2), _layer(32, 32))  # 32 x 32
        self.coarse = nn.Sequential(
            _layer(32, 64, stride=2), _layer(64, 64), _layer(64, 64, dilation=2)
        )  # 16 x 16
        self.to_middle = nn.Sequential(_layer(96, 32, kernel=1), _layer(32, 32))
        self.to_fine = nn.Sequential(_layer(48, 16, kernel=1), _layer(16, 16))
        self.out = nn.Conv2d(16, len(PARTS), 1)

    def forward(self, images: Tensor) -> Tensor:
        """(b, 3, 64, 64) in [-1, 1] -> logits (b, parts, 64, 64).

        Raises:
            AsyrpError: images of another shape.
        """
        if images.ndim != 4 or images.shape[1:] != (3, SIZE, SIZE):
            raise AsyrpError(
                f"the segmenter needs images (b, 3, {SIZE}, {SIZE}); got {tuple(images.shape)}; "
                "it knows the parts of avatars-64 only"
            )
        fine = self.fine(images.contiguous(memory_format=torch.channels_last))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        middle = self.to_middle(torch.cat([_doubled(coarse), middle], 1))
        logits: Tensor = self.out(self.to_fine(torch.cat([_doubled(middle), fine], 1)))
        return logits

    @torch.no_grad()
    def masks(self, images: Tensor, batch_size: int = 32) -> np.ndarray:
        """(n, 3, 64, 64) in [-1, 1] -> (n, 64, 64) uint8, indices into PARTS."""
        parts = [self(batch.float().cpu()).argmax(1) for batch in images.split(batch_size)]
        found: np.ndarray = torch.cat(parts).byte().numpy()
        return found


def _doubled(h: Tensor) -> Tensor:
    return functional.interpolate(h, scale_factor=2.0, mode="nearest")


def _layer(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def load_segmenter(path: Path | None = None) -> Segmenter:
    """The shipped segmenter (or one from a file), frozen, in eval mode and float32.

    Raises:
        AsyrpError: the file holds other weights.
    """
    path = path or shipped("asyrp.domains.avatars", "weights", "segmenter.safetensors")
    return with_weights(Segmenter(), path, "a segmenter", "train one: asyrp world segmenter")
