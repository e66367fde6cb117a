"""Edits of unchosen faces to be judged by eye: two methods side by side, or one by itself."""

import html
import json
from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from asyrp.app import views
from asyrp.app.plans import Dosage
from asyrp.app.training import Progress
from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import reverse_process
from asyrp.method.ddim import seeded_generators
from asyrp.method.editing import random_latents
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Timesteps

FACES = range(2, 65)
WORDS = {"pair": ("left", "right", "neither"), "single": ("good", "bad", "unsure")}
KEYS = {"left": "←", "right": "→", "neither": "↓", "good": "G", "bad": "B", "unsure": "U"}


class Side(NamedTuple):
    """A method of a ballot: the file of its direction or its folder, and how it is revealed."""

    file: str
    title: str
    strength: float = 1.0


class Ballot(NamedTuple):
    """The faces before, and after each method, (n, 3, height, width), and where they come from."""

    methods: Sequence[Side]
    before: Tensor
    after: Sequence[Tensor]
    seed: int


@torch.no_grad()
def drawn(
    model: HSpaceUNet, grid: Timesteps, methods: Sequence[Dosage], count: int, seed: int
) -> Generator[Progress, None, Ballot]:
    """Random faces, the first of their seed, before and after each method.

    Raises:
        AsyrpError: too few faces, or too many.
    """
    if count not in FACES:
        raise AsyrpError(f"the number of faces lies in {FACES[0]}..{FACES[-1]}; got {count}")
    latents, made = random_latents(model, count, seed), list[Tensor]()
    ways = [([], 0), *(([one.attribute()], one.entry.card.t_boost) for one in methods)]
    for attributes, t_boost in ways:
        generators = seeded_generators(count, seed, 0)
        for done in reverse_process(model, latents, grid, attributes, t_boost, generators):
            steps = len(made) * len(grid) + grid.pairs.index((done.t, done.s)) + 1
            yield Progress("editing unchosen faces", steps, len(ways) * len(grid))
        made.append(done.x)
    sides = [Side(e.path.name, f"{e.title} at {strength:g}", strength) for e, strength in methods]
    return Ballot(sides, made[0], made[1:], seed)


def page(ballot: Ballot, seed: int) -> str:
    """One face at a time, in random order and on random sides; page.js counts the answers."""
    mode = "single" if len(ballot.methods) == 1 else "pair"
    generator = np.random.default_rng(seed)
    faces = "".join(
        _face(ballot, int(i), generator) for i in generator.permutation(len(ballot.before))
    )
    buttons = "".join(
        f'<button type="button" class="vote" data-vote="{word}">{word} ({KEYS[word]})</button>'
        for word in WORDS[mode]
    )
    question = "Which is the better edit?" if mode == "pair" else "Is this a good edit?"
    return (
        f'<div class="ballot" data-record="{html.escape(json.dumps(record(ballot)))}">'
        f'<p>{question} <span class="count">1 of {len(ballot.before)}</span></p>'
        f'<ol>{faces}</ol><div class="links">{buttons}</div><p class="outcome"></p></div>'
    )


def _face(ballot: Ballot, i: int, generator: np.random.Generator) -> str:
    order = list(generator.permutation(len(ballot.methods)))
    sides = dict(zip(("left", "right"), ("AB"[k] for k in order), strict=False))
    data = "".join(f' data-{side}="{name}"' for side, name in sides.items())
    pictures = [views.image(ballot.before[i], "before")]
    pictures += [views.image(ballot.after[k][i], "after") for k in order]
    if len(order) == 2:
        pictures = [pictures[1], pictures[0], pictures[2]]
    return f'<li data-face="{i}"{data}>{"".join(pictures)}</li>'


def record(ballot: Ballot) -> Mapping[str, Any]:
    """What the file of the answers says of the edits."""
    methods = {name: side._asdict() for name, side in zip("AB", ballot.methods, strict=False)}
    return {"what": "asyrp: edits judged by eye", "methods": methods, "seed": ballot.seed}
