"""S_dir: whether the picture changed in the direction in which the text changed."""

import numpy as np
import torch
from torch import Tensor

from asyrp.method.clip_loss import directional_loss
from asyrp.method.text_direction import TextDirection
from asyrp.runtime.batching import by_batches


@torch.no_grad()
def directional_similarity(
    sources: Tensor, edits: Tensor, guide: TextDirection, batch_size: int = 16
) -> np.ndarray:
    """S_dir of each image, (n,): 1 minus the directional loss (StyleGAN-NADA's direction).

    sources, edits: (n, 3, height, width) in [-1, 1].
    """
    encode, text = guide.encoder.image_features, guide.direction

    def along(before: Tensor, after: Tensor) -> Tensor:
        return 1 - directional_loss(encode(after), encode(before), text)

    return by_batches(along, batch_size, sources, edits).cpu().double().numpy()
