"""How training pictures are corrupted, so that a network reads P_t and reconstructions as well."""

import torch
from torch import Tensor
from torch.nn import functional


def soften(images: Tensor, sigma: float = 2.0) -> Tensor:
    """Gaussian blur, sigma in pixels, as P_t is blurred; (b, 3, height, width)."""
    grid = torch.arange(-6, 7).float()
    kernel = torch.exp(-(grid**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, 13)
    padded = functional.pad(images, (6, 6, 6, 6), "replicate")
    soft = functional.conv2d(padded, kernel, groups=3)
    return functional.conv2d(soft, kernel.transpose(2, 3), groups=3)


def degraded(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blur (sigma 0 to 3 pixels) and noise (0 to 0.3), as P_t shows them.

    The first half is blurred by one sigma; all but the last quarter have noise above 0.02.
    """
    sigma = float(torch.rand((), generator=generator)) * 3 + 0.05
    half = len(images) // 2
    level = torch.rand(len(images), 1, 1, 1, generator=generator) * 0.3
    level[half + half // 2 :] = 0.02
    mixed = torch.cat([soften(images[:half], sigma), images[half:]])
    return mixed + level * torch.randn(images.shape, generator=generator)


def moved(images: Tensor, generator: torch.Generator, most: float = 0.1) -> Tensor:
    """Mirror half of them, turn, scale and shift each by up to `most`, change light and colour."""
    count = len(images)
    draw = torch.rand(6, count, generator=generator) * 2 - 1
    angle, scale = draw[0] * most, 1 + draw[1] * most
    flip = (torch.rand(count, generator=generator) < 0.5).float() * -2 + 1
    cos, sin = scale * angle.cos(), scale * angle.sin()
    rows = torch.stack([cos * flip, -sin, draw[2] * most, sin * flip, cos, draw[3] * most], dim=1)
    grid = functional.affine_grid(rows.view(-1, 2, 3), list(images.shape), align_corners=False)
    turned = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    light = 1 + 0.15 * torch.randn(count, 3, 1, 1, generator=generator) * 0.5
    shade = 0.2 * draw[4].view(-1, 1, 1, 1)
    return ((turned + 1) * light * (1 + 0.15 * draw[5].view(-1, 1, 1, 1)) - 1 + shade).clamp(-1, 1)
