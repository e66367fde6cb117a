"""An image network whose features Frechet distances compare, such as DINOv2."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asyrp.errors import AsyrpError, need
from asyrp.runtime.offline import hub
from asyrp.scorers.preprocessing import View, prepare, processor_settings, view_of
from asyrp.storage.strict_loading import load_strictly
from asyrp.storage.untrusted.pretrained import check_pretrained

HEADS = ("classifier.", "head.", "fc.")  # of what classifies, left aside for its features


class VisionFeatures(nn.Module):
    """A frozen image network of transformers; a `metrics.features.FeatureNetwork`.

    Args:
        model: whose output has `pooler_output` (b, d, ...), or `last_hidden_state` (b, tokens, d).
        view: how it wants its pictures.
        name: what a report records.
    """

    def __init__(self, model: Any, view: View, name: str):
        super().__init__()
        self.model = model.requires_grad_(False)
        self.view, self._name = view, name
        self.eval()

    @property
    def name(self) -> str:
        """What a report records."""
        return self._name

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(b, 3, height, width) in [-1, 1], of any size -> (b, d) float32."""
        weight = next(self.model.parameters())
        pixels = prepare(images.to(weight.device, torch.float32), self.view).to(weight.dtype)
        found = self.model(pixel_values=pixels)
        pooled = getattr(found, "pooler_output", None)
        features: Tensor = found.last_hidden_state.mean(1) if pooled is None else pooled
        return features.flatten(1).float()


def load_vision(source: str | Path, device: str | torch.device = "cpu") -> VisionFeatures:
    """An image network from a local folder, the Hub's cache or the Hub.

    `facebook/dinov2-base` is what Stein et al. (2023) recommend for Frechet distances.

    Raises:
        AsyrpError: it cannot be found or reached, or is no image network with a processor's file.
    """
    need("transformers", "encoders")
    from transformers import AutoModel

    try:
        with hub() as local:
            check_pretrained(AutoModel, source, local)
            model = load_strictly(AutoModel, source, spare=HEADS, local_files_only=local)
            settings = processor_settings(source)
    except AsyrpError:
        raise
    except Exception as error:  # a damaged or unsafe file fails in any way
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise AsyrpError(
            f"needed an image network for FID and KID; {str(source)!r} does not load ({reason}); "
            "give judge, encoder, a local folder or a Hub id such as facebook/dinov2-base"
        ) from error
    if model.main_input_name != "pixel_values" or not settings:
        raise AsyrpError(
            f"{str(source)!r} is no image network with a preprocessor_config.json; for a CLIP-like "
            "model use --encoder with --features encoder"
        )
    return VisionFeatures(model.float().to(device), view_of(settings, 224), str(source))
