"""An image network whose features Frechet distances compare, such as DINOv2."""

from pathlib import Path

import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.scorers.preprocessing import processor_settings, view_of
from asyrp.scorers.pretrained import Frozen, opening, pretrained, tried

HEADS = ("classifier.", "head.", "fc.")  # of what classifies, left aside for its features


class VisionFeatures(Frozen):
    """A frozen image network of transformers; a `metrics.features.FeatureNetwork`.

    Its output has `pooler_output` (b, d, ...), or `last_hidden_state` (b, tokens, d).
    """

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(b, 3, height, width) in [-1, 1], of any size -> (b, d) float32."""
        found = self.model(pixel_values=self.pixels(images))
        pooled = getattr(found, "pooler_output", None)
        features: Tensor = found.last_hidden_state.mean(1) if pooled is None else pooled
        return features.flatten(1).float()


def load_vision(source: str | Path, device: str | torch.device = "cpu") -> VisionFeatures:
    """An image network from a folder or the Hub; AsyrpError where there is none.

    `facebook/dinov2-base` is what Stein et al. (2023) recommend for Frechet distances.
    """
    give = "judge, encoder, a local folder or a Hub id such as facebook/dinov2-base"
    with opening(source, "an image network for FID and KID", give) as local:
        from transformers import AutoModel

        model = pretrained(AutoModel, source, local, HEADS)
        settings = processor_settings(source)
    if model.main_input_name != "pixel_values" or not settings:
        raise AsyrpError(
            f"{str(source)!r} is no image network with a preprocessor_config.json; for a CLIP-like "
            "model use --encoder with --features encoder"
        )
    network = VisionFeatures(model.float().to(device), view_of(settings, 224), str(source))
    tried(network, source)
    return network
