"""Options of asyrp convert."""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Convert:
    """Turn original checkpoints and released directions into files of today, or back."""

    file: tyro.conf.Positional[str]
    """An original checkpoint or direction, or "URL#sha256=HEX" of one; with --back the folder or
    direction file that convert made."""
    out: Path
    """A network's folder; a direction's .safetensors file; with --back a file of either, in torch's
    format if it ends in .pt, .pth or .ckpt."""
    back: bool = False
    """Write the original names again."""
    config: Path | None = None
    """JSON file with original hyper-parameters, by the names of the original flags (num_heads,
    num_head_channels, use_new_attention_order, diffusion_steps, ...) or of a DDPM yml; for a
    direction: source, target, t_edit, t_boost, trained_steps."""
    preset: str | None = None
    """The network that the file is: celeba-hq, lsun-church, lsun-bedroom, afhq-dog, metfaces, ffhq,
    celeba-hq-p2 or imagenet-256."""
    model: str | None = None
    """For a direction: the network that it was trained on, whose fingerprint it shall carry."""
    cosine: float | None = None
    """For a direction: cos(source, target) by CLIP ViT-B/16, which sets t_edit by the released
    tables."""
