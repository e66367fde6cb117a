"""What is learnt, and the walk on which several directions edit side by side."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import Attribute, reverse_process
from asyrp.method.ddim import generator_of, noised
from asyrp.method.directions import Direction, SideBySide
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Pair, Timesteps, full_length
from asyrp.method.text_direction import TextDirection
from asyrp.settings import TrainSettings


class TrainingGoal(NamedTuple):
    """One attribute to learn: its direction, its text pair, and the timesteps it is trained on."""

    direction: nn.Module
    guide: TextDirection
    grid: Sequence[Pair]


class TrainStep(NamedTuple):
    """One optimiser step of a goal, or one validation of it (`t` is None).

    batch counts over all epochs of `batches`. grad_norm: of the direction's parameters.
    best: whether this validation is the lowest so far. goal: which one of those of the run.
    """

    batch: int
    batches: int
    t: int | None
    total: float
    directional: float
    reconstruction: float
    grad_norm: float
    best: bool
    goal: int = 0


class Edited(NamedTuple):
    """One timestep of images edited side by side.

    k: its place in the grid. goals: those whose grid has it. x0: their edited P_t,
    (goals, b, c, height, width). x0_source: P_t of the first one's x_t unedited. x: after it, of
    all goals of the walk.
    """

    k: int
    t: int
    goals: list[int]
    x0: Tensor
    x0_source: Tensor
    x: Tensor


class SideWalk:
    """Several goals that edit the same images, each (at strength 1) a row of x."""

    def __init__(self, model: HSpaceUNet, goals: Sequence[TrainingGoal], settings: TrainSettings):
        self.model, self.goals, self.settings = model, goals, settings
        self.grid = common_grid(goals)
        self.directions = nn.ModuleList([goal.direction for goal in goals])

    def acting(self, k: int, learning: Sequence[int]) -> list[int]:
        """The places in `learning` of those whose grid has place k."""
        return [r for r, i in enumerate(learning) if k < len(self.goals[i].grid)]

    def walked(self, x: Tensor, learning: Sequence[int]) -> Iterator[Edited]:
        """Edit down the grid, x (learning, b, c, height, width) as edited so far."""
        for k, pair in enumerate(self.grid):
            if not self.acting(k, learning):
                return  # who has the longest interval has stopped learning
            done = self.edited(x, k, pair, learning)
            x = done.x
            yield done

    def noised(
        self, images: Tensor, rows: Tensor, learning: Sequence[int], batch: int, k: int
    ) -> Edited:
        """Edit noised images at a random t from place k of the grid to the next.

        images: clean, (b, c, height, width). rows: their numbers, (b,).
        """
        pair, drawn = self.grid[k], (self.settings.seed, batch, k)
        lowest = self.grid[k + 1].t + 1 if k + 1 < len(self.grid) else pair.t
        t = int(torch.randint(lowest, pair.t + 1, (), generator=generator_of("t", *drawn)))
        noises = [generator_of("x_t", *drawn, row) for row in rows.tolist()]
        x = noised(images, self.model.schedule.alpha_bar(t), noises)
        return self.edited(x.expand(len(learning), *x.shape), k, Pair(t, pair.s), learning)

    def edited(
        self, x: Tensor, k: int, pair: Pair, learning: Sequence[int], back: bool = False
    ) -> Edited:
        """One timestep of x, (learning, b, c, height, width). back: go on from unedited P_t."""
        rows, states = self.acting(k, learning), list(x.unbind())
        acting, images = [learning[r] for r in rows], x.shape[1]
        taught = [cast(Direction, self.directions[i]) for i in acting]
        whole = full_length(self.grid)
        act = Attribute(
            SideBySide(taught, images), pair.t, trained_steps=whole, region=self.settings.region
        )
        one = Timesteps((pair,), whole)
        (done,) = reverse_process(self.model, torch.cat([states[r] for r in rows]), one, [act])
        after = done.x.detach()
        if back:  # x_s = sqrt(alpha_bar_s) P_t + D_t
            signal = math.sqrt(self.model.schedule.alpha_bar(pair.s))
            after = after + signal * (done.x0_source - done.x0).detach()
        for r, state in zip(rows, after.split(images), strict=True):
            states[r] = state
        x0 = done.x0.unflatten(0, (len(rows), images))
        # in one order of memory, as a checkpoint holds it: another order rounds otherwise
        after = torch.stack(states).contiguous()
        return Edited(k, pair.t, acting, x0, done.x0_source[:images], after)


def common_grid(goals: Sequence[TrainingGoal]) -> Sequence[Pair]:
    """The longest grid of goals that are learnt side by side; the others are its beginning.

    AsyrpError where they begin at different timesteps, or their encoders differ.
    """
    longest = max((goal.grid for goal in goals), key=len)
    for goal in goals:
        if tuple(goal.grid) != tuple(longest[: len(goal.grid)]):
            raise AsyrpError(
                "what is learnt together begins at one timestep of one grid; got grids from "
                f"t = {goal.grid[0].t} and {longest[0].t}; train them one by one"
            )
        if goal.guide.encoder is not goals[0].guide.encoder:
            raise AsyrpError("what is learnt together is guided by one text-image encoder")
    return longest


def rate_at(batch: int, batches: int, settings: TrainSettings) -> float:
    """The learning rate of a batch: falling linearly where it decays."""
    return settings.rate * (1 - batch / batches if settings.decay else 1.0)
