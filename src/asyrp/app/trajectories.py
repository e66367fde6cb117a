"""Walks of one picture that are kept, so that a new strength costs only what it changes.

What a step does is its recipe; a new walk starts behind the longest run of recipes that it shares
with a kept one. Above t_start no direction acts, so every edit shares those steps with the unedited
walk.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import NamedTuple

import torch
from torch import Tensor

from asyrp.method.asymmetric_process import Attribute, ReverseStep, reverse_process
from asyrp.method.ddim import draw_noise, seeded_generators
from asyrp.method.directions import Direction
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Timesteps
from asyrp.method.strength_sweep import StripStep, walk_strip

Recipe = tuple[tuple[tuple[str, float, Direction], ...], int | None]
"""(name, strength, direction) of those that act, and the seed of the noise, None without noise."""


class Dose(NamedTuple):
    """A direction as it is applied, and its name in recipes."""

    key: str
    attribute: Attribute


@dataclass(frozen=True)
class Plan:
    """What a walk does.

    first: number of the picture's generator, as `api.edit` counts images.
    """

    doses: tuple[Dose, ...] = ()
    t_boost: int = 0
    seed: int = 0
    first: int = 0

    def recipe(self, t: int) -> Recipe:
        """What it does at timestep t."""
        given = sorted(self.doses, key=lambda dose: dose.key)
        acting = [dose for dose in given if dose.attribute.acts(t)]
        told = tuple((d.key, d.attribute.strength, d.attribute.direction) for d in acting)
        return told, self.seed if t < self.t_boost else None


class Kept(NamedTuple):
    """A walk or its beginning: what each step did, and what came of it."""

    recipes: tuple[Recipe, ...] = ()
    steps: tuple[ReverseStep, ...] = ()

    def shared(self, wanted: Sequence[Recipe]) -> "Kept":
        """As much of it as does what is wanted."""
        both = zip(self.recipes, wanted, strict=False)
        count = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], both))
        return Kept(self.recipes[:count], self.steps[:count])


class Walks:
    """The unedited walk of one picture, and the last edited one.

    x: x_T, (1, c, height, width).
    """

    def __init__(self, model: HSpaceUNet, grid: Timesteps, x: Tensor):
        self.model, self.grid, self.x = model, grid, x
        self.plain = self.edited = Kept()

    def start(self, plan: Plan) -> Kept:
        """The steps of a plan that are already known."""
        wanted = [plan.recipe(pair.t) for pair in self.grid]
        both = (kept.shared(wanted) for kept in (self.plain, self.edited))
        return max(both, key=lambda kept: len(kept.steps))

    @torch.no_grad()
    def walk(self, plan: Plan) -> Generator[ReverseStep, None, Tensor]:
        """Yield the steps that were not known; returns the picture, (1, c, height, width)."""
        kept = self.start(plan)
        for done in self._rest(plan, kept.steps):
            kept = Kept((*kept.recipes, plan.recipe(done.t)), (*kept.steps, done))
            if plan.doses or plan.t_boost:
                self.edited = kept
            else:
                self.plain = kept
            yield done
        return kept.steps[-1].x

    def _rest(self, plan: Plan, steps: Sequence[ReverseStep]) -> Iterator[ReverseStep]:
        rest = self.grid[len(steps) :]
        if not rest:
            return iter(())
        x = steps[-1].x if steps else self.x
        generators = seeded_generators(1, plan.seed, plan.first)
        for done in steps:
            if done.t < plan.t_boost:
                draw_noise(x, generators)  # the noise that this step has used
        attributes = [dose.attribute for dose in plan.doses]
        return reverse_process(self.model, x, rest, attributes, plan.t_boost, generators)

    @torch.no_grad()
    def strip(self, plan: Plan, factors: Sequence[float]) -> Generator[StripStep, None, Tensor]:
        """Walk the plan once for each factor on all its strengths, in one batch.

        Returns the pictures, (len(factors), c, height, width); all with the same noise.
        """
        starts = [dose.attribute.t_start for dose in plan.doses]
        top = max((self.grid[0].t if t is None else t for t in starts), default=0)
        plain = self.start(replace(plan, doses=(), t_boost=0)).steps
        known = list(takewhile(lambda done: done.t > max(top, plan.t_boost), plain))
        rest = self.grid[len(known) :]
        x, acting = known[-1].x if known else self.x, [dose.attribute for dose in plan.doses]
        edits = [[replace(a, strength=factor * a.strength) for a in acting] for factor in factors]
        generators = seeded_generators(1, plan.seed, plan.first)
        for done in walk_strip(self.model, x, rest, edits, plan.t_boost, generators):
            yield done
        return done.of_each(done.x)[:, 0]
