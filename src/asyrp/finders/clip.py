"""The paper's way, as a finder among others: a direction from one text to another."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from asyrp.finders.base import FinderData, FinderStep, FoundDirection
from asyrp.finders.catalogue import Clip
from asyrp.finders.clip_training import fit, new_direction
from asyrp.finders.unfinished import checkpoint_of
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.text_direction import new_text_direction
from asyrp.method.unedited_trajectory import joined, prepare

MOST_VALIDATION = 16


def find(settings: Clip, model: HSpaceUNet, data: FinderData) -> Iterator[FinderStep]:
    """f_t, one dh a timestep or one for all, by the CLIP loss.

    The last quarter of the images, at most 16, validates.
    """
    assert data.encoder is not None
    guide = new_text_direction(data.encoder, settings.source, settings.target)
    training, grid = settings.train, data.window.grid
    clean = data.images if training.clip_source == "clean" else None
    latents = data.latents.to(model.device)
    sources = joined(prepare(model, guide, latents, data.window, data.batch_size, clean))
    cut = len(latents) - min(MOST_VALIDATION, len(latents) // 4)
    held_out = sources.take(torch.arange(cut, len(latents))) if cut < len(latents) else None
    direction = new_direction(model, grid, training)
    known = (model.fingerprint(), settings, data.window, latents)
    checkpoint = checkpoint_of(data.state, "clip", *known)
    explains, total = {}, 1
    train = sources.take(torch.arange(cut))
    training = replace(training, steps=data.steps)
    for step in fit(model, direction, guide, train, grid, training, held_out, checkpoint):
        total = step.batches
        if step.t is None and step.best:
            explains["validation_loss"] = round(step.total, 5)
        yield FinderStep(step.batch, total, loss=step.total)
    direction = direction.requires_grad_(False).eval()
    texts = (settings.source, settings.target)
    told = (explains, texts, data.encoder.name, guide.cosine, training.region)
    yield FinderStep(total, total, (FoundDirection("clip", direction, *told),))
