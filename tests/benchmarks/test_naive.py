"""The baseline of `asyrp bench` does more work and gets the same results."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from asyrp.finders.clip_training import batches_of, new_direction
from asyrp.finders.prepare import Pictures, start_training
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.cost import counted
from asyrp.method.ddim import seeded_generators
from asyrp.method.editing import edit, invert
from asyrp.method.editing_interval import EditInterval
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import paper_grid
from asyrp.settings import official
from bench.baseline import load_baseline
from conftest import noise
from doubles import random_f_t, tiny_guide

STEPS, T_EDIT = 8, 500  # 999, 856, 713, 570 | 428, 285, 142, 0
INSIDE = 4
naive: Any = load_baseline(Path(__file__).parents[2] / "benchmarks" / "naive.py")


@pytest.fixture
def x() -> Tensor:
    return noise(3, 3, 16, 16).tanh()


def test_inversion_is_ours_with_a_reconstruction_more(model64: HSpaceUNet, x: Tensor) -> None:
    model, x = model64, x.double()
    with counted(model) as cost:
        theirs = naive.invert(model, x, STEPS)
    ours = invert(model, x, STEPS)
    torch.testing.assert_close(torch.cat([one.latent for one in theirs]), ours.latents)
    back = torch.cat([one.reconstruction for one in theirs])
    torch.testing.assert_close(back, ours.reconstructions)
    assert cost.encodes == cost.decodes == 3 * (2 * STEPS - 1)


@pytest.mark.parametrize("t_boost", [0, 300])
def test_edits_are_ours_with_two_decodes_at_every_step(
    model64: HSpaceUNet, x: Tensor, t_boost: int
) -> None:
    model, x = model64, x.double()
    f_t = cast(Any, random_f_t(model).double())
    change = naive.Change(f_t, T_EDIT, 2.0 * 10 / STEPS)
    with counted(model) as theirs:
        found = naive.edit(model, x, change, STEPS, t_boost, seeded_generators(3))
    with counted(model) as ours:
        wanted = edit(model, x, [Attribute(f_t, T_EDIT, 2.0, 10)], STEPS, t_boost)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)  # noise is float32
    assert not torch.allclose(found, edit(model, x, (), STEPS, t_boost), atol=1e-2)
    assert (theirs.encodes, theirs.decodes) == (3 * STEPS, 3 * 2 * STEPS)
    assert (ours.encodes, ours.decodes) == (3 * STEPS, 3 * (STEPS + INSIDE))


@pytest.mark.parametrize("epochs", [1, 2])
def test_training_ends_with_our_direction(model: HSpaceUNet, x: Tensor, epochs: int) -> None:
    settings = replace(official(), steps=STEPS, epochs=epochs, learning_rate=0.05)
    guide, latents = tiny_guide(), noise(3, 3, 16, 16, seed=1)
    pictures = Pictures(x, latents)
    job = start_training(
        model, guide, pictures, pictures[:0], EditInterval(999, T_EDIT, 0), settings
    )
    list(job.steps)
    direction = new_direction(model, paper_grid(STEPS)[:INSIDE], settings)
    before = [p.clone() for p in direction.parameters()]
    flat = [int(row) for rows in batches_of(3, settings) for row in rows]
    order = [flat[i : i + 3] for i in range(0, len(flat), 3)]
    inverted = [naive.Inverted(a, a, b) for a, b in zip(x.split(1), latents.split(1), strict=True)]
    with counted(model) as cost:
        naive.train(model, direction, guide, inverted, naive.Recipe(T_EDIT, STEPS, order, 0.05))
    moved = [
        (p - old).abs().max().item() for p, old in zip(direction.parameters(), before, strict=True)
    ]
    assert max(moved) > 1e-3
    for p, q in zip(direction.parameters(), job.direction.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)
    work = 3 * INSIDE * epochs
    assert (cost.encodes, cost.decodes, cost.decodes_back) == (2 * work, 3 * work, work)
