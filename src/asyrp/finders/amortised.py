"""One f_t for many texts: it takes the text direction dT as input, and dh is linear in dT."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import StringIO
from pathlib import Path

import torch
from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.finders.base import FinderData, FinderStep, FoundDirection
from asyrp.finders.catalogue import Amortised
from asyrp.finders.fitting import Goal, batches_of, fitted
from asyrp.finders.unfinished import checkpoint_of
from asyrp.method.clip_loss import loss_of
from asyrp.method.direction_file import restored
from asyrp.method.directions import ImplicitDirection
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.text_direction import TextDirection, new_text_direction
from asyrp.method.unedited_trajectory import UneditedTrajectory, joined, prepare
from asyrp.runtime.generators import seeded
from asyrp.settings import TrainSettings
from asyrp.storage.untrusted.texts import read_bounded

Texts = tuple[str, str]  # source, target


class AmortisedDirection(nn.Module):
    """f_t whose last layer a text direction scales and shifts, both linearly.

    dh = W (A dT * phi(h, t)) + B dT with phi the layers of f_t before its last. So dh of a sum of
    text directions is the sum of theirs, and for one dT it is an f_t like any other.
    """

    def __init__(self, f_t: ImplicitDirection, features: int):
        super().__init__()
        self.f_t, channels = f_t, f_t.conv_out.out_channels
        self.scale = nn.Linear(features, channels, bias=False)
        self.shift = nn.Linear(features, channels, bias=False)
        nn.init.zeros_(self.shift.weight)

    def folded(self, dT: Tensor) -> dict[str, Tensor]:
        """The last layer of f_t for a text direction (d,)."""
        weight = self.f_t.conv_out.weight * self.scale(dT)[None, :, None, None]
        return {"conv_out.weight": weight, "conv_out.bias": self.shift(dT)}

    def forward(self, dT: Tensor, h: Tensor, emb: Tensor, t: int) -> Tensor:
        """dh of a text direction (d,), of h's shape."""
        dh: Tensor = torch.func.functional_call(self.f_t, self.folded(dT), (h, emb, t))
        return dh

    @torch.no_grad()
    def of(self, dT: Tensor) -> ImplicitDirection:
        """The f_t of one text direction (d,)."""
        tensors = {**self.f_t.state_dict(), **self.folded(dT)}
        made = restored(tensors, self.f_t.layout, self.f_t.use_time)
        return made.requires_grad_(False).eval()


def new_amortised(model: HSpaceUNet, features: int, seed: int) -> AmortisedDirection:
    """An untrained one, which answers with small dh."""

    def made() -> AmortisedDirection:
        f_t = ImplicitDirection(model.h_channels, model.emb_channels, zero_init=False)
        return AmortisedDirection(f_t, features)

    return seeded(seed, made).to(model.device)


def find(settings: Amortised, model: HSpaceUNet, data: FinderData) -> Iterator[FinderStep]:
    """Train on all text pairs, one a batch in a random order; then answer those that are asked.

    AsyrpError for fewer than two text pairs, or a text that is none.
    """
    assert data.encoder is not None
    encoder = data.encoder
    pairs = [new_text_direction(encoder, *pair) for pair in read_text_pairs(settings.texts)]
    asked = [new_text_direction(encoder, *parsed(text)) for text in settings.ask] or pairs
    guide, latents, fitting = pairs[0], data.latents.to(model.device), settings.train
    sources = joined(prepare(model, guide, latents, data.window, data.batch_size))
    module = new_amortised(model, len(guide.direction), fitting.seed)
    known = (settings.texts.name, [one.asked for one in pairs], fitting)
    parts = (model.fingerprint(), *known, data.window, data.latents)
    checkpoint = checkpoint_of(data.state, "amortised", *parts)
    goals = goals_of(module, sources, pairs, fitting.seed)
    job = (sources.latents, data.window.grid, goals, fitting, checkpoint)
    explains = {"text_pairs": len(pairs), **(yield from fitted(model, module, *job))}
    found = [answer(module, one, pairs, explains) for one in asked]
    total = len(batches_of(sources.images, fitting))
    yield FinderStep(total, total, tuple(found))


def goals_of(
    module: AmortisedDirection,
    sources: UneditedTrajectory,
    pairs: Sequence[TextDirection],
    seed: int,
) -> Callable[[int], Goal]:
    """What the batch of a number teaches: one text pair, drawn anew for each."""
    settings = TrainSettings()

    def goal_of(batch: int) -> Goal:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + batch)
        guide = pairs[int(torch.randint(len(pairs), (), generator=generator))]

        def loss(x0: Tensor, k: int, rows: Tensor) -> Tensor:
            wanted = (sources.x0[k, rows], sources.features[k, rows])
            return loss_of(x0, *wanted, guide, settings).total

        return Goal(partial(module, guide.direction), loss)

    return goal_of


def answer(
    module: AmortisedDirection,
    guide: TextDirection,
    pairs: Sequence[TextDirection],
    explains: Mapping[str, object],
) -> FoundDirection:
    """The direction of a text pair."""
    source, target = guide.asked
    about = {**explains, "trained_on": any(one.asked == guide.asked for one in pairs)}
    told = (about, (source, target), guide.encoder.name, guide.cosine)
    return FoundDirection("-".join(target.lower().split()), module.of(guide.direction), *told)


def parsed(text: str) -> Texts:
    """SOURCE:TARGET, or AsyrpError."""
    source, _, target = (part.strip() for part in text.partition(":"))
    if not (source and target):
        raise AsyrpError(f"needed SOURCE:TARGET, as in 'face:smiling face'; got {text!r}")
    return source, target


def read_text_pairs(path: Path) -> list[Texts]:
    """The pairs of a CSV with the columns source and target, two or more, or AsyrpError."""
    try:
        text = StringIO(read_bounded(path).decode("utf-8-sig"), newline="")
        rows = [(row["source"].strip(), row["target"].strip()) for row in csv.DictReader(text)]
    except (OSError, ValueError, csv.Error, KeyError, AttributeError) as error:
        raise AsyrpError(
            f"needed a CSV with the columns source and target; {str(path)!r} is none: {error}"
        ) from error
    if len(rows) < 2:
        raise AsyrpError(
            f"{str(path)!r} needs two text pairs or more to learn from; got {len(rows)}"
        )
    return rows
