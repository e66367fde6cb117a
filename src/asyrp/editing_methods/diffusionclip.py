"""DiffusionCLIP (Kim et al. 2022): the whole network is fine-tuned for one text pair.

The per-timestep variant of its paper ("GPU-efficient"), with the loss, images, timesteps and
number of optimiser steps of our own training, so that only what is trained differs.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from asyrp.domains.base import Domain, Task, guide_of
from asyrp.domains.inverted_images import InvertedImages, edited
from asyrp.editing_methods.base import Editor, Inputs, Setting
from asyrp.finders.clip_training import batches_of
from asyrp.finders.training_goal import rate_at
from asyrp.method.asymmetric_process import reverse_process
from asyrp.method.clip_loss import Losses, loss_of
from asyrp.method.cost import Cost, counted
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Pair
from asyrp.method.text_direction import TextDirection
from asyrp.method.unedited_trajectory import UneditedTrajectory, editing_window, joined, prepare
from asyrp.settings import TrainSettings

SHARES: tuple[Setting, ...] = tuple({"share": s} for s in (0.5, 0.8, 1.3, 2.1))


def trainable(model: HSpaceUNet) -> HSpaceUNet:
    """A copy whose weights can be trained: in float32, whose rounding small steps survive."""
    tuned = copy.deepcopy(model)
    tuned.unet.float().requires_grad_(True)
    return tuned


def fine_tune(
    tuned: HSpaceUNet,
    guide: TextDirection,
    sources: UneditedTrajectory,
    grid: Sequence[Pair],
    settings: TrainSettings,
) -> Iterator[Losses]:
    """Train `tuned` in place with lambda_clip L_dir + lambda_recon cos L1; yields every step's.

    AsyrpError where the settings' loss has no gradient at the untouched network.
    """
    settings.check_start()
    optimiser = torch.optim.Adam(tuned.unet.parameters(), lr=settings.rate)
    order = batches_of(len(sources.latents), settings)
    for batch, rows in enumerate(order):
        for group in optimiser.param_groups:
            group["lr"] = rate_at(batch, len(order), settings)
        for k, done in enumerate(reverse_process(tuned, sources.latents[rows], grid)):
            x0, features = sources.x0[k, rows], sources.features[k, rows]
            losses = loss_of(done.x0, x0, features, guide, settings)
            optimiser.zero_grad(set_to_none=True)
            losses.total.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            yield Losses(*(value.detach() for value in losses))


@torch.no_grad()
def blended(model: HSpaceUNet, tuned: HSpaceUNet, share: float) -> HSpaceUNet:
    """The network whose weights are W + share (W' - W): its strength (section 3.4 there)."""
    between = copy.deepcopy(model)
    between.unet.float()
    pairs = zip(between.unet.parameters(), tuned.unet.parameters(), strict=True)
    for own, other in pairs:
        own.lerp_(other.detach(), share)
    return between


def diffusionclip(domain: Domain, task: Task, inputs: Inputs) -> Editor:
    """The whole network, fine-tuned; its strength is how far the weights go.

    It has no t_edit: it is trained at all timesteps below t_start, in as many optimiser steps as
    ours as whole epochs allow.
    """
    model, guide, interval = domain.model, guide_of(domain, task), inputs.interval
    tuned, start, settings = trainable(model), interval.t_start, inputs.settings
    steps, length, at = settings.steps, model.schedule.length, inputs.train.at
    ours = editing_window(start, interval.t_edit, steps, length, at)
    window = editing_window(start, 0, steps, length, at)
    epochs = max(1, round(settings.epochs * len(ours.grid) / len(window.grid)))
    with counted(model) as before:
        parts = prepare(model, guide, inputs.train.latents, window, settings.batch_size)
        sources = joined(list(parts))
    with counted(tuned) as cost:
        for _ in fine_tune(tuned, guide, sources, window.grid, replace(settings, epochs=epochs)):
            pass
    stored = 2 * sum(p.numel() for p in tuned.unet.parameters())  # fp16, as networks are kept

    def edit(images: InvertedImages, setting: Setting) -> Tensor:
        return edited(blended(model, tuned, setting["share"]), images, [], interval.t_boost)

    return Editor(edit, SHARES, stored, _sum(before, cost))


def _sum(a: Cost, b: Cost) -> Cost:
    return Cost(**{name: getattr(a, name) + getattr(b, name) for name in vars(a)})
