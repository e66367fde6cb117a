"""A semantic segmentation network, to measure whether an edit keeps the layout."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from asyrp.errors import AsyrpError, need
from asyrp.runtime.offline import hub, network_hint
from asyrp.scorers.preprocessing import View, prepare, processor_settings, view_of
from asyrp.storage.strict_loading import load_strictly
from asyrp.storage.untrusted.pretrained import check_pretrained


class SemanticSegmenter(nn.Module):
    """A frozen semantic segmentation network of transformers, such as SegFormer.

    A `metrics.masks.Segmenting`. The paper does not say which network its SC used, so numbers do
    not compare with its own.

    Args:
        model: whose output has `logits` (b, classes, h, w).
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

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, by number."""
        names = self.model.config.id2label
        return tuple(str(names[i]) for i in sorted(names))

    @torch.no_grad()
    def masks(self, images: Tensor) -> np.ndarray:
        """(n, 3, height, width) in [-1, 1] -> class of each pixel, (n, height, width), int64."""
        parts = [self(batch).cpu().numpy() for batch in images.split(8)]
        return np.concatenate(parts)

    def forward(self, images: Tensor) -> Tensor:
        """(b, 3, height, width) in [-1, 1] -> class of each pixel, (b, height, width), int64."""
        weight = next(self.model.parameters())
        pixels = prepare(images.to(weight.device, torch.float32), self.view).to(weight.dtype)
        logits = self.model(pixel_values=pixels).logits.float()
        size = images.shape[-2:]
        logits = functional.interpolate(logits, size, mode="bilinear", align_corners=False)
        return logits.argmax(1)


def load_segmenter(source: str | Path, device: str | torch.device = "cpu") -> SemanticSegmenter:
    """A segmentation network from a local folder, the Hub's cache or the Hub.

    For faces: `jonathandinu/face-parsing` (SegFormer; classes of CelebAMask-HQ).

    Raises:
        AsyrpError: it cannot be found or reached, or segments nothing.
    """
    need("transformers", "encoders")
    from transformers import AutoModelForSemanticSegmentation

    try:
        with hub() as local:
            kind = AutoModelForSemanticSegmentation
            check_pretrained(kind, source, local)
            model = load_strictly(kind, source, local_files_only=local)
            settings = processor_settings(source)
    except AsyrpError:
        raise
    except Exception as error:  # a damaged or unsafe file fails in any way
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise AsyrpError(
            f"needed a semantic segmentation network; {str(source)!r} does not load ({reason}); "
            f"give a local folder or a Hub id, and {network_hint()}"
        ) from error
    if not settings:
        raise AsyrpError(
            f"{str(source)!r} has no preprocessor_config.json, which says how large its pictures "
            "are and how they are normalised; add the one it was trained with"
        )
    view = view_of({**settings, "do_center_crop": settings.get("do_center_crop", False)}, 512)
    return SemanticSegmenter(model.float().to(device), view, str(source))
