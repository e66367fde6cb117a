"""Options of asyrp convert."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from asyrp.options.shared import Overwrite, unset


@dataclass(frozen=True)
class Convert:
    """Turn original checkpoints into diffusers folders, released directions into ours, or back."""

    file: tyro.conf.Positional[str]
    """Original checkpoint, direction, or URL#sha256=HEX of one; with --back what convert made."""
    out: Path
    """Folder of a network, .safetensors of a direction; with --back also .pt, .pth or .ckpt."""
    back: bool = False
    """Write the original names again."""
    config: Annotated[Path | None, unset("what names and shapes tell", "PATH")] = None
    """JSON file of what shapes do not tell; docs/paper_networks.md lists its names."""
    preset: Annotated[str | None, unset("read off the shapes", "STR")] = None
    """The network that the file is, as in celeba-hq, afhq-dog or metfaces."""
    model: Annotated[str | None, unset("any network of its shape", "STR")] = None
    """Direction: the network it was trained on, whose fingerprint it shall carry."""
    prompt: str = ""
    """Direction: the prompt that --model was used with."""
    guidance: float = 1.0
    """Direction: the weight of that prompt."""
    class_label: Annotated[int | None, unset("none", "INT")] = None
    """Direction: the class that --model was used with."""
    cosine: Annotated[float | None, unset("the paper's t_edit, or 0.9", "FLOAT")] = None
    """Direction: cos(source, target) by CLIP ViT-B/16, which sets t_edit by the released tables."""
    overwrite: Overwrite = False
