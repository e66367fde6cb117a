"""A perceptual distance that shrugs off shifts: ST-LPIPS with AlexNet (ECCV 2022)."""

from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from asyrp.method.protocols import Thresholds
from asyrp.runtime.transfer import numbers
from asyrp.scorers.lpips import MEAN, STD, check_pictures, difference
from asyrp.scorers.pretrained import with_weights
from asyrp.storage.shipped import shipped

NAME = "st-lpips-alex"
SMALLEST = 21  # pixels a side; below it a reflecting border is wider than what it reflects
# For 40-step walks of avatars-64, where it saturates near 0.77; found by hand on validation faces.
# The paper's 0.33 and 1.2 belong to another distance.
THRESHOLDS = Thresholds(edit=0.0155, boost=0.25, start=0.093)


class _Stage(NamedTuple):
    """One convolution and what leads to it; its output after the ReLU is compared."""

    inputs: int
    outputs: int
    kernel: int
    padding: int
    pooled: bool  # max-pool, blur and halve before the convolution


_STAGES = (
    _Stage(3, 64, 11, 2, False),  # blurred and halved after the convolution, before the ReLU
    _Stage(64, 192, 5, 2, True),
    _Stage(192, 384, 3, 1, True),
    _Stage(384, 256, 3, 1, False),
    _Stage(256, 256, 3, 1, False),
)


class ShiftTolerantLPIPS(nn.Module):
    """Weighed squared differences of unit-norm AlexNet features, summed over five stages.

    Its AlexNet has no stride but blurred halvings, so that a shift of a pixel counts for little
    (Ghildyal and Liu, "Shift-tolerant Perceptual Similarity Metric", ECCV 2022, section 4).
    Range: 0 for equal images, no unit. On avatars-64: two faces 0.40, a face and itself moved by
    a pixel 0.005; under noise of sigma 0.1, 0.3, 1.0 it is 0.06, 0.38, 0.69, and it saturates at
    0.80 (0.63 to 0.92) for pure noise. Two fields of noise are close (0.04): it sees no grain.
    """

    name, thresholds = NAME, THRESHOLDS

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(s.inputs, s.outputs, s.kernel, padding=s.padding) for s in _STAGES
        )
        self.heads = nn.ParameterList(nn.Parameter(torch.ones(s.outputs)) for s in _STAGES)
        for name, values in (("mean", MEAN), ("std", STD)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two batches (b, 3, height, width) in [-1, 1] -> (b,), differentiable.

        Raises:
            AsyrpError: shapes that differ, or sides below 21 pixels.
        """
        check_pictures(a, b, SMALLEST, NAME)
        pairs = zip(self.heads, self.features(a), self.features(b), strict=True)
        return cast(Tensor, sum(difference(head, f, g) for head, f, g in pairs))

    def features(self, images: Tensor) -> list[Tensor]:
        """(b, 3, height, width) in [-1, 1] -> five maps (b, c, h, w), unit norm over c."""
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        h, maps = (images.to(mean) - mean) / std, []
        for index, (stage, conv) in enumerate(zip(_STAGES, self.convs, strict=True)):
            if stage.pooled:
                h = halve(functional.max_pool2d(h, 3, stride=1))
            h = conv(h)
            h = functional.relu(h if index else halve(h))
            # 1e-20: finite gradient at h = 0
            maps.append(h / (h.square().sum(1, keepdim=True) + 1e-20).sqrt())
        return maps


def halve(h: Tensor) -> Tensor:
    """Blur with [1, 2, 1] / 4 both ways over a reflected border of 2, and keep every other pixel.

    (b, c, h, w) -> (b, c, (h + 1) // 2 + 1, (w + 1) // 2 + 1). Zhang, "Making convolutional
    networks shift-invariant again", ICML 2019.
    """
    line = numbers([0.25, 0.5, 0.25], h)
    kernel = torch.outer(line, line).expand(h.shape[1], 1, 3, 3)
    padded = functional.pad(h, (2, 2, 2, 2), mode="reflect")
    return functional.conv2d(padded, kernel, stride=2, groups=h.shape[1])


def load_perceptual(path: Path | None = None) -> ShiftTolerantLPIPS:
    """The shipped distance or one from a file, frozen, in float32; AsyrpError for other weights."""
    path = path or shipped("asyrp.scorers", "data", "stlpips_alex.safetensors")
    do = "write them with tools/convert_stlpips.py"
    network = with_weights(ShiftTolerantLPIPS(), path, NAME, do)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster on CPU
    return network
