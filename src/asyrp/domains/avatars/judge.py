"""The judge of the world: reads every factor off a face, to measure what an edit changed."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from asyrp.domains.avatars.avatars import FACTORS, SIZE
from asyrp.errors import AsyrpError
from asyrp.scorers.pretrained import with_weights
from asyrp.storage.shipped import shipped

SIZES = {factor: len(values) for factor, values in FACTORS.items()}


class JudgeNetwork(nn.Module):
    """A classifier with one softmax for each factor of FACTORS, unseen values included.

    BatchNorm, ReLU and max-pooling on purpose: the encoder that guides an edit has none of them,
    so the two do not share blind spots by design. 26 million multiplications a picture.
    """

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *_layer(3, 24, kernel=5, stride=2),  # 32 x 32
            *_layer(24, 32),
            nn.MaxPool2d(2),  # 16 x 16
            *_layer(32, 48),
            nn.MaxPool2d(2),  # 8 x 8
            *_layer(48, 96),
            Residual(96),
            *_layer(96, 64, kernel=1),
            nn.Flatten(),
            nn.Linear(64 * (SIZE // 8) ** 2, sum(SIZES.values())),
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(b, 3, 64, 64) in [-1, 1] -> logits (b, values) of each factor, in FACTORS' order.

        Raises:
            AsyrpError: images of another shape.
        """
        if images.ndim != 4 or images.shape[1:] != (3, SIZE, SIZE):
            raise AsyrpError(
                f"the judge needs images (b, 3, {SIZE}, {SIZE}); got {tuple(images.shape)}; "
                "it judges pictures of avatars-64 only"
            )
        logits = self.net(images.contiguous(memory_format=torch.channels_last))
        return dict(zip(SIZES, logits.split(list(SIZES.values()), dim=1), strict=True))

    def decide(self, images: Tensor) -> Tensor:
        """(b, 3, 64, 64) in [-1, 1] -> (b, factors) int64, indices into each factor's values.

        It names a value of hidden factors too; `avatars.visible` tells which those are.
        """
        return torch.stack([logits.argmax(1) for logits in self(images).values()], dim=1)

    def probabilities(self, images: Tensor) -> dict[str, Tensor]:
        """(b, 3, 64, 64) in [-1, 1] -> (b, values) of each factor, every row summing to 1."""
        return {factor: logits.softmax(1) for factor, logits in self(images).items()}


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a skip, (b, c, h, w) -> the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        second = _layer(channels, channels)[:-1]
        self.branch = nn.Sequential(*_layer(channels, channels), *second)

    def forward(self, h: Tensor) -> Tensor:
        """(b, c, h, w) -> relu of it plus its branch."""
        return functional.relu(h + self.branch(h))


def _layer(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]


def load_judge(path: Path | None = None) -> JudgeNetwork:
    """The shipped judge (or one from a file), frozen, in eval mode and float32.

    Raises:
        AsyrpError: the file holds other weights.
    """
    path = path or shipped("asyrp.domains.avatars", "weights", "judge.safetensors")
    return with_weights(JudgeNetwork(), path, "a judge", "train one: asyrp world judge")
