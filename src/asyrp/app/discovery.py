"""Directions without labels, for the page: components of h over samples, each a row of strips."""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from asyrp.app.jobs import slug
from asyrp.app.training import Progress, Scorers
from asyrp.errors import AsyrpError
from asyrp.finders.base import FinderData, FoundDirection
from asyrp.finders.catalogue import Pca
from asyrp.finders.naming import Name, movement, name_of, text_directions
from asyrp.method.direction_file import DirectionCard, SavedDirection, save_direction
from asyrp.method.editing import random_latents
from asyrp.method.editing_interval import EditInterval
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.strength_sweep import strip
from asyrp.method.unedited_trajectory import editing_window
from asyrp.storage.images import contact_sheet

STEPS = 20  # of the walks that find, name and show
STRENGTHS = (-2.0, -1.0, 0.0, 1.0, 2.0)
NAMED_ON, SHOWN = 8, 2  # samples
SAMPLES = range(16, 257)
COMPONENTS = range(1, 11)


class Search(NamedTuple):
    """What to look for: how many components of how many samples, from when to when."""

    components: int
    samples: int
    interval: EditInterval
    seed: int
    noun: str = "image"
    texts: Sequence[str] = ()

    def checked(self) -> "Search":
        """Itself (AsyrpError: more, or fewer, than can be)."""
        given = (("components", self.components, COMPONENTS), ("samples", self.samples, SAMPLES))
        for name, value, most in given:
            if value not in most:
                raise AsyrpError(f"{name} lie in {most[0]}..{most[-1]}; got {value}")
        return self


class Component(NamedTuple):
    """A direction, its strips (3, height, width), and what it is like in words."""

    saved: SavedDirection
    picture: Tensor
    told: str


def discovered(tools: Scorers, search: Search) -> Generator[Progress, None, list[Component]]:
    """The first principal components, largest first, named by the texts they move towards.

    Raises:
        AsyrpError: an interval without a timestep; MissingExtra: without scikit-learn.
    """
    model, when = tools.model, search.interval
    latents = random_latents(model, search.samples, search.seed)
    window = editing_window(when.t_start, when.t_edit, STEPS, model.schedule.length, model.t_top)
    found: Sequence[FoundDirection] = ()
    for step in Pca(components=search.components).find(model, FinderData(latents, window)):
        yield Progress("looking at h of samples", step.done, step.total)
        found = step.directions
    components: list[Component] = []
    for one in found:
        yield Progress("naming and drawing", len(components), len(found))
        components.append(_component(tools, search, one, latents[:NAMED_ON]))
    return components


@torch.no_grad()
def _component(tools: Scorers, search: Search, found: FoundDirection, few: Tensor) -> Component:
    model, encoder = tools.model, tools.encoder
    saved = SavedDirection(found.direction, _card(model, search, found, None))
    name = None
    if len(search.texts) > 1:
        moved = movement(model, saved.attribute(), few, encoder, STEPS)
        name = name_of(moved, text_directions(encoder, search.texts), search.texts)
        saved = saved._replace(card=_card(model, search, found, name))
    edits = [[saved.attribute(strength)] for strength in STRENGTHS]
    strips = strip(model, few[:SHOWN], edits, STEPS)
    return Component(saved, contact_sheet(list(strips.transpose(0, 1))), told(found, name))


def _card(
    model: HSpaceUNet, search: Search, found: FoundDirection, name: Name | None
) -> DirectionCard:
    about = {"finder": "pca", "explains": dict(found.explains), "seed": search.seed}
    about["data"] = {"samples": search.samples}
    target = found.name
    if name is not None:
        about["name"] = name.as_json()
        target = name.plus[0].text if name.plus else found.name
    when, mark = search.interval, model.fingerprint()
    given = search.noun, target, when.t_edit, when.t_boost, STEPS, mark
    return DirectionCard(*given, t_start=when.t_start, training=about)


def told(found: FoundDirection, name: Name | None) -> str:
    """A component in one line."""
    line = f"{found.name}: {100 * float(found.explains['variance']):.1f} % of the variance of h"
    for end, texts in (("+", name.plus), ("-", name.minus)) if name else ():
        near = [f"{one.text} ({one.cosine:.2f})" for one in texts[:1]]
        near += [f"or {one.text}" for one in texts[1:] if one.tie]
        line += f"; {end} {' '.join(near) or 'no text is near'}"
    return line


def keep(folder: Path, one: Component, seed: int, number: int) -> Path:
    """Write a component among the user's directions; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"pca-{seed}-{number + 1}-{slug(one.saved.card.target)}.safetensors"
    save_direction(path, *one.saved)
    return path
