"""Classifier guidance (Dhariwal and Nichol 2021) by a classifier that reads noisy images."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from asyrp.domains.base import Domain, Labeller, Task
from asyrp.domains.inverted_images import Generators, InvertedImages, batched
from asyrp.domains.training_loop import LoopSettings, optimise
from asyrp.editing_methods.base import Editor, Inputs, Setting
from asyrp.method.cost import Cost
from asyrp.method.ddim import Step, draw_noise, step
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import NoiseSchedule, Pair
from asyrp.method.unedited_trajectory import editing_window
from asyrp.runtime.generators import seeded
from asyrp.runtime.resumable import seconds_of
from asyrp.scorers.judge import Judge
from asyrp.scorers.judge import wanted as wanted_value
from asyrp.storage.untrusted.tensors import load_safetensors

HIDDEN = -1  # label of an attribute that a picture does not show
WIDTHS = (32, 48, 64, 96)
SCALES: tuple[Setting, ...] = tuple({"scale": s} for s in (4.0, 16.0, 64.0, 256.0))


class NoisyClassifier(nn.Module):
    """One softmax an attribute for x_t at any t; the timestep scales and shifts every layer.

    Args:
        sizes: attribute -> number of values. length: T.
    """

    def __init__(self, sizes: Mapping[str, int], length: int = 1000) -> None:
        super().__init__()
        self.sizes, self.length = dict(sizes), length
        pairs = pairwise((3, *WIDTHS))
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairs)
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for width in WIDTHS)
        self.times = nn.ModuleList(nn.Linear(32, 2 * width) for width in WIDTHS)
        self.out = nn.Linear(WIDTHS[-1] * 16, sum(self.sizes.values()))

    def forward(self, x: Tensor, t: Tensor) -> dict[str, Tensor]:
        """(b, 3, height, width), (b,) -> attribute -> logits (b, values)."""
        emb, h = _waves(t / self.length), x
        for conv, norm, time in zip(self.convs, self.norms, self.times, strict=True):
            scale, shift = time(emb)[:, :, None, None].chunk(2, 1)
            h = functional.silu(norm(conv(h)) * (1 + scale) + shift)
        pooled = functional.adaptive_avg_pool2d(h, 4).flatten(1)
        logits = self.out(pooled).split(list(self.sizes.values()), 1)
        return dict(zip(self.sizes, logits, strict=True))


def _waves(u: Tensor) -> Tensor:
    angles = u[:, None] * math.pi * 2.0 ** torch.arange(-1, 15, device=u.device)[None] / 8
    return torch.cat([angles.sin(), angles.cos()], 1)


def noisy_loss(
    classifier: NoisyClassifier,
    images: Tensor,
    labels: np.ndarray,
    schedule: NoiseSchedule,
    batch: int,
    seed: int = 0,
) -> Callable[[int], Tensor]:
    """Mean cross-entropy of the visible attributes of x_t, t uniform; step -> loss.

    images: (n, 3, height, width). labels: (n, attributes), HIDDEN where not visible. seed: of the
    rows, timesteps and noise of every step.
    """
    alpha_bars = torch.tensor(schedule.alpha_bars, dtype=torch.float64)
    targets = torch.from_numpy(labels.astype(np.int64))

    def loss_at(index: int) -> Tensor:
        generator = torch.Generator().manual_seed((seed << 32) + index)
        rows = torch.randint(len(images), (batch,), generator=generator)
        t = torch.randint(schedule.length, (batch,), generator=generator)
        signal = alpha_bars[t].sqrt().float().view(-1, 1, 1, 1)
        noise = (1 - alpha_bars[t]).sqrt().float().view(-1, 1, 1, 1)
        x = signal * images[rows] + noise * torch.randn(images[rows].shape, generator=generator)
        pairs = zip(classifier(x, t).values(), targets[rows].T, strict=True)
        return torch.stack([_visible_loss(logits, known) for logits, known in pairs]).mean()

    return loss_at


def _visible_loss(logits: Tensor, known: Tensor) -> Tensor:
    total = functional.cross_entropy(logits, known, ignore_index=HIDDEN, reduction="sum")
    return total / (known != HIDDEN).sum().clamp(min=1)


def pull(classifier: NoisyClassifier, x: Tensor, t: int, attribute: str, value: int) -> Tensor:
    """grad_x log p(value | x_t) of each image, (b, 3, height, width)."""
    with torch.enable_grad():
        x = x.detach().float().requires_grad_()
        logits = classifier(x, torch.full((len(x),), t, device=x.device))[attribute]
        chosen = logits.log_softmax(1)[:, value].sum()
        return torch.autograd.grad(chosen, x)[0]


def guided(
    model: HSpaceUNet,
    classifier: NoisyClassifier,
    x: Tensor,
    grid: Sequence[Pair],
    wanted: tuple[str, int],
    scale: float,
    t_boost: int = 0,
    generators: Generators = (),
) -> Iterator[Step]:
    """DDIM with eps - scale sqrt(1 - abar_t) grad log p(value | x_t).

    Dhariwal and Nichol 2021, algorithm 2: both halves of the step see the shifted noise.

    Args:
        x: x where the grid begins. wanted: attribute and index of its value.
        t_boost, generators: as of the reverse process.
    """
    for pair in grid:
        away = math.sqrt(1 - model.schedule.alpha_bar(pair.t)) * scale
        eps = model(x, pair.t) - away * pull(classifier, x, pair.t, *wanted)
        boosted = pair.t < t_boost
        noise = draw_noise(x, generators) if boosted else None
        done = step(x, eps, eps, model.schedule, pair, noise, float(boosted))
        x = done.x
        yield done


def classifier_path(folder: Path) -> Path:
    """Where the classifier of a domain is kept."""
    return folder / "classifier.safetensors"


def new_classifier(domain: Domain, seed: int = 0) -> NoisyClassifier:
    """A classifier of everything that the domain's judge knows, untrained."""
    values = cast(Judge, domain.scorers.judge).values
    sizes = {name: len(names) for name, names in values.items()}
    return seeded(3 + seed, lambda: NoisyClassifier(sizes, domain.model.schedule.length))


def trained(domain: Domain, inputs: Inputs) -> NoisyClassifier:
    """A classifier of as many labelled images as f_t sees, in as many steps of as many images."""
    settings, count = inputs.settings, len(inputs.train.numbers)
    length, interval = domain.model.schedule.length, inputs.interval
    parts = (interval.t_start, interval.t_edit, settings.steps, length, inputs.train.at)
    batches = settings.epochs * math.ceil(count / settings.batch_size)
    steps = batches * len(editing_window(*parts).grid)
    images, known = cast(Labeller, domain).labelled(count)
    classifier = new_classifier(domain, settings.seed)
    data = (images, known, domain.model.schedule, settings.batch_size)
    loss_at = noisy_loss(classifier, *data, settings.seed)
    loop = LoopSettings(steps, settings.rate, max(1, min(50, steps // 10)), ema_decay=0.98)
    *_, last = optimise(classifier, loss_at, loop)
    return cast(NoisyClassifier, last.ema)


def classified_anew(domain: Domain, task: Task, inputs: Inputs) -> Editor:
    """Guidance by a classifier that is trained now."""
    return guiding(domain, task, inputs, trained(domain, inputs))


def classified(domain: Domain, task: Task, inputs: Inputs) -> Editor:
    """Guidance by a classifier that was trained on labelled noisy images, unseen values too."""
    classifier, path = new_classifier(domain), classifier_path(inputs.folder)
    classifier.load_state_dict(load_safetensors(path))
    cost = Cost(seconds=seconds_of(inputs.folder, "classifier"))
    ready = guiding(domain, task, inputs, classifier)
    return ready._replace(stored=path.stat().st_size, training=cost)


def guiding(domain: Domain, task: Task, inputs: Inputs, classifier: NoisyClassifier) -> Editor:
    """The editor that a classifier makes."""
    judge, model = cast(Judge, domain.scorers.judge), domain.model
    value = (task.attribute, wanted_value(judge, task.attribute, task.value))

    def edit(images: InvertedImages, setting: Setting) -> Tensor:
        grid, boost = images.grid(model.schedule.length), inputs.interval.t_boost
        known = (grid, value, setting["scale"], boost)
        return batched(images, lambda x, _, noises: guided(model, classifier, x, *known, noises))

    return Editor(edit, SCALES, 0, Cost())
