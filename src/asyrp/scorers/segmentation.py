"""A semantic segmentation network, to measure whether an edit keeps the layout."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from asyrp.errors import AsyrpError
from asyrp.runtime.batching import by_batches
from asyrp.scorers.preprocessing import processor_settings, view_of
from asyrp.scorers.pretrained import Frozen, opening, pretrained, tried

BATCH = 8  # pictures at a time


class SemanticSegmenter(Frozen):
    """A frozen semantic segmentation network of transformers, such as SegFormer.

    Its output has `logits`. A `metrics.structure.Segmenting`. The paper does not say which network
    its SC used, so numbers do not compare with its own.
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, by number."""
        names = self.model.config.id2label
        return tuple(str(names[i]) for i in sorted(names))

    @torch.no_grad()
    def masks(self, images: Tensor) -> np.ndarray:
        """(n, 3, height, width) in [-1, 1] -> class of each pixel, (n, height, width), int64."""
        found: np.ndarray = by_batches(lambda x: self(x).cpu(), BATCH, images).numpy()
        return found

    def forward(self, images: Tensor) -> Tensor:
        """(b, 3, height, width) in [-1, 1] -> class of each pixel, (b, height, width), int64."""
        logits = self.model(pixel_values=self.pixels(images)).logits.float()
        size = images.shape[-2:]
        logits = functional.interpolate(logits, size, mode="bilinear", align_corners=False)
        return logits.argmax(1)


def load_segmenter(source: str | Path, device: str | torch.device = "cpu") -> SemanticSegmenter:
    """A segmentation network from a folder or the Hub; AsyrpError where there is none.

    For faces: `jonathandinu/face-parsing` (SegFormer; classes of CelebAMask-HQ).
    """
    what, give = "a semantic segmentation network", "a local folder or a Hub id"
    with opening(source, what, give) as local:
        from transformers import AutoModelForSemanticSegmentation

        model = pretrained(AutoModelForSemanticSegmentation, source, local)
        settings = processor_settings(source)
    if not settings:
        raise AsyrpError(
            f"{str(source)!r} has no preprocessor_config.json, which says how large its pictures "
            "are and how they are normalised; add the one it was trained with"
        )
    view = view_of({**settings, "do_center_crop": settings.get("do_center_crop", False)}, 512)
    network = SemanticSegmenter(model.float().to(device), view, str(source))
    tried(network, source)
    return network
