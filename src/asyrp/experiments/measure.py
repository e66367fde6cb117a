"""Edits of inverted images, measured by a domain's scorers."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from asyrp.domains.base import Domain, Task, guide_of
from asyrp.domains.inverted_images import InvertedImages
from asyrp.experiments.second_judge import seconded
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_space import Pixels
from asyrp.metrics.of_image import Pictures
from asyrp.metrics.perceptual import distances
from asyrp.metrics.table import Scorers, Wish, features_in, of_sets, per_image


def wish_of(task: Task) -> Wish | None:
    """What the judge should see; None for a task without a question."""
    return Wish(task.attribute, task.value, task.follows) if task.attribute else None


def measured(
    domain: Domain, task: Task, images: InvertedImages, edits: Tensor, showing: Tensor | None = None
) -> dict[str, dict[str, Any]]:
    """Every metric of the edits: "values" of each image, (n,), and estimates of whole "sets".

    showing: other pictures with the value, for Frechet distances.
    """
    pictures = Pictures(images.images, edits, images.reconstructions, showing)
    scorers = domain.scorers._replace(guide=guide_of(domain, task))
    values = per_image(pictures, scorers, wish_of(task))
    values |= seconded(domain, task, images, edits, values)
    values["lpips"] = distances(domain.distance, images.images, edits)
    sets = of_sets([pictures], scorers, features_in([pictures], scorers))
    return {"values": values, "sets": sets}


def judged(
    domain: Domain, task: Task, images: InvertedImages, edits: Tensor
) -> dict[str, np.ndarray]:
    """success, leakage, clean and lpips of each image: what tuning and studies look at.

    success_2 and clean_2 are those by the second judge. Without a judge s_dir and lpips.
    """
    pictures, judge = Pictures(images.images, edits), domain.scorers.judge
    guide = None if judge else guide_of(domain, task)
    scorers = Scorers(guide=guide, judge=judge, distance=domain.distance)
    values = per_image(pictures, scorers, wish_of(task))
    return values | seconded(domain, task, images, edits, values)


def as_saved(domain: Domain, x: Tensor) -> Tensor:
    """Clean x clipped to [-1, 1], as a file would be; latents have no such range and stay."""
    return x.clamp(-1, 1) if isinstance(domain.model.space, Pixels) else x


@torch.no_grad()
def pictures_of(model: HSpaceUNet, x: Tensor) -> Tensor:
    """Clean x as pictures, decoded one at a time where x is a latent."""
    if isinstance(model.space, Pixels):
        return x
    return torch.cat([model.space.decode(one[None]) for one in x])
