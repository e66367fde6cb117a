"""Edit images in the semantic latent space of a frozen diffusion model (Asyrp, ICLR 2023)."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "AsyrpError": "asyrp.errors",
    "AsyrpPipeline": "asyrp.pipeline",
    "Attribute": "asyrp.process",
    "DirectionModel": "asyrp.direction_model",
    "HSpaceUNet": "asyrp.unet",
    "Lesson": "asyrp.lessons",
    "Prompt": "asyrp.checkpoints.latent",
    "TrainSettings": "asyrp.settings",
    "edit": "asyrp.api",
    "fit": "asyrp.train",
    "fit_together": "asyrp.train",
    "invert": "asyrp.api",
    "load_direction": "asyrp.direction_files",
    "load_model": "asyrp.checkpoints",
    "random_latents": "asyrp.api",
    "save_direction": "asyrp.direction_files",
    "walk": "asyrp.process",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import asyrp` and `asyrp --help` stay fast."""
    if name not in _HOMES:
        raise AttributeError(f"module 'asyrp' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
