"""Networks by name: built in, presets, diffusers folders, original files, URLs, Hub ids."""

from asyrp.networks.load import BUILT_IN, load_model
from asyrp.networks.original_unet import OriginalUNet2DModel

__all__ = ["BUILT_IN", "OriginalUNet2DModel", "load_model"]
