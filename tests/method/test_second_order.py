"""The second-order walk: its order, its equality with diffusers' solver, and its edits."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler
from torch import Tensor

from asyrp.method.asymmetric_process import Attribute, reverse_process
from asyrp.method.ddim import seeded_generators
from asyrp.method.hspace import Encoded, HSpaceUNet
from asyrp.method.schedule import linear, pairs, paper_grid
from asyrp.method.second_order import walk_second_order
from conftest import noise
from doubles import random_f_t
from oracles import Gaussian, order

TABLE = linear().alpha_bars


class IdealModel:
    """A network whose eps is that of Gaussian images."""

    schedule = linear()

    def encode(self, x: Tensor, t: int) -> Encoded:
        return Encoded(x, (), x, x, torch.tensor(t))

    def decode(self, encoded: Encoded) -> Tensor:
        return Gaussian(TABLE).eps(encoded.x, int(encoded.t))


def times(steps: int) -> list[int]:
    """About even in log-SNR between 20 and 900, where a grid of integers is fine enough."""
    return [round(20 + 880 * (i / (steps - 1)) ** 1.2) for i in range(steps)]


def test_it_converges_with_order_two_where_ddim_has_one() -> None:
    z = noise(1, 3, 4, 4, dtype=torch.float64)
    sizes, found = (16, 32, 64, 128), {"first": [], "second": []}  # type: ignore[var-annotated]
    for size in sizes:
        grid = pairs(times(size))[:-1]
        x = Gaussian(TABLE).at(z, grid[0].t)
        wanted = Gaussian(TABLE).at(z, grid[-1].s)
        for name, how in (("first", reverse_process), ("second", walk_second_order)):
            *_, done = how(cast(Any, IdealModel()), x, grid)
            found[name].append((done.x - wanted).abs().max().item())
    assert 0.8 < order(sizes, found["first"]) < 1.3
    assert 1.7 < order(sizes, found["second"]) < 2.5


def test_it_is_the_solver_of_diffusers() -> None:
    steps = [979, 800, 600, 400, 200, 60]
    solver = DPMSolverMultistepScheduler(
        beta_start=1e-4, beta_end=0.02, final_sigmas_type="zero", lower_order_final=False
    )
    solver.set_timesteps(timesteps=steps)
    x = theirs = noise(1, 3, 4, 4, dtype=torch.float64)
    for t in solver.timesteps:
        eps = Gaussian(TABLE).eps(theirs, int(t))
        theirs = solver.step(eps, t, theirs).prev_sample
        if int(t) == steps[-2]:
            before_last = theirs
    ours = list(walk_second_order(cast(Any, IdealModel()), x, pairs(steps[::-1])))
    torch.testing.assert_close(ours[-2].x, before_last.double(), rtol=2e-4, atol=2e-4)


def test_the_last_step_and_noisy_ones_are_ddims(model: HSpaceUNet) -> None:
    x, grid = noise(2, 3, 16, 16), paper_grid(6)
    with torch.no_grad():
        noisy = list(walk_second_order(model, x, grid, (), 1000, seeded_generators(2)))
        plain = list(reverse_process(model, x, grid, (), 1000, seeded_generators(2)))
        second = list(walk_second_order(model, x, grid))
    assert all(torch.equal(a.x, b.x) for a, b in zip(noisy, plain, strict=True))
    assert torch.equal(second[-1].x, second[-1].x0)


@torch.no_grad()
def test_a_zero_direction_changes_nothing_and_others_reach_P_alone(model: HSpaceUNet) -> None:
    x, grid = noise(1, 3, 16, 16), paper_grid(8)
    f_t = cast(Any, random_f_t(model))

    def walked(attributes: Sequence[Attribute]) -> list[Any]:
        return list(walk_second_order(model, x, grid, attributes))

    plain, zero = walked(()), walked([Attribute(f_t, 500, 0.0)])
    assert torch.equal(plain[-1].x, zero[-1].x)
    edited, first = walked([Attribute(f_t, 500)]), next(iter(reverse_process(model, x, grid)))
    act = next(iter(reverse_process(model, x, grid, [Attribute(f_t, 500)])))
    assert torch.allclose(edited[0].x, act.x)
    assert not torch.allclose(edited[0].x, first.x, atol=1e-3)


def test_boosting_above_an_interval_is_refused(model: HSpaceUNet) -> None:
    from asyrp.errors import AsyrpError

    act = Attribute(cast(Any, random_f_t(model)), 300)
    with pytest.raises(AsyrpError, match="t_boost"):
        next(iter(walk_second_order(model, noise(1, 3, 16, 16), paper_grid(4), [act], 400)))
