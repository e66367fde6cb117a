"""Edit images in the semantic latent space of a frozen diffusion model (Asyrp, ICLR 2023).

In a notebook or script on a machine that does other work too, set OMP_WAIT_POLICY=PASSIVE before
torch is imported; the commands do so themselves.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_HOMES = {
    "AsyrpError": "asyrp.errors",
    "AsyrpPipeline": "asyrp.diffusers_pipeline",
    "Attribute": "asyrp.method.asymmetric_process",
    "DirectionModel": "asyrp.networks.direction_model",
    "HSpaceUNet": "asyrp.method.hspace",
    "TrainingGoal": "asyrp.finders.training_goal",
    "Prompt": "asyrp.networks.latent_pipeline",
    "TrainSettings": "asyrp.settings",
    "edit": "asyrp.method.editing",
    "fit": "asyrp.finders.clip_training",
    "fit_together": "asyrp.finders.clip_training",
    "invert": "asyrp.method.editing",
    "load_direction": "asyrp.method.direction_file",
    "load_model": "asyrp.networks",
    "random_latents": "asyrp.method.editing",
    "save_direction": "asyrp.method.direction_file",
    "reverse_process": "asyrp.method.asymmetric_process",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import asyrp` and `asyrp --help` stay fast."""
    if name not in _HOMES:
        raise AttributeError(f"module 'asyrp' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
