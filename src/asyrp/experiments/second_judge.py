"""A second judge of success, of another origin than the domain's: both are shown on every claim.

Where the domain draws its images, the drawing itself: no network has a say in it. Elsewhere the
encoder that guided the edit, which is partial to them, and so is no more than a second opinion.
"""

import numpy as np
import torch
from torch import Tensor

from asyrp.domains.base import Domain, Task
from asyrp.domains.inverted_images import InvertedImages
from asyrp.experiments.distance_to_target import shares_of_distance
from asyrp.metrics import answers
from asyrp.metrics.features import EncoderFeatures, features_of
from asyrp.metrics.table import Values

HALFWAY = 0.5  # of the way to the drawn target: past it the target is nearer than the source


def name_of(domain: Domain) -> str:
    """Who the second judge is."""
    if "rendered_target" in domain.gives:
        return "the drawing: past half of the way to the nearest drawn target"
    return (
        f"{domain.encoder.name}, which guides edits: nearer to the target text than to the source"
    )


def succeeded(domain: Domain, task: Task, images: InvertedImages, edits: Tensor) -> np.ndarray:
    """(n,) 1 where the edit succeeded by the second judge, 0 where not."""
    if "rendered_target" in domain.gives:
        return np.where(shares_of_distance(domain, task, images, edits) > HALFWAY, 1.0, 0.0)
    texts = domain.encoder.text_features([task.source, task.target]).detach().double().cpu()
    seen = features_of(EncoderFeatures(domain.encoder), edits).double().cpu()
    source, target = (seen @ texts.T).T
    return torch.where(target > source, 1.0, 0.0).numpy()


def seconded(
    domain: Domain, task: Task, images: InvertedImages, edits: Tensor, values: Values
) -> dict[str, np.ndarray]:
    """success_2 and clean_2, (n,) each, where the first judge says something among the values."""
    if "leakage" not in values:
        return {}
    success = succeeded(domain, task, images, edits)
    return {"success_2": success, "clean_2": answers.clean(success, values["leakage"])}
