"""Inversions that lose nothing: their equations, their edits, and what they cost."""

import math
from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import Attribute, ReverseStep, reverse_process
from asyrp.method.cost import counted
from asyrp.method.ddim import seeded_generators
from asyrp.method.directions import GlobalDirection, ImplicitDirection
from asyrp.method.hspace import Encoded, HSpaceUNet, Prediction
from asyrp.method.inversion import belm
from asyrp.method.inversion.choose import INVERSIONS, Name, inversion_of, top_of
from asyrp.method.schedule import (
    CLEAN,
    Pair,
    below,
    linear,
    pairs,
    paper_grid,
)
from asyrp.networks import load_model
from asyrp.storage.images import from_uint8
from conftest import noise, tiny_model
from grids import leading_grid, trailing_grid
from oracles import Gaussian, alpha_bar_table, level, order

EXACT: tuple[Name, ...] = ("belm", "bdia", "edict", "ddpm")
PAIRS: tuple[Name, ...] = ("belm", "bdia", "edict")
TABLE = alpha_bar_table()
GRIDS = {
    "paper": paper_grid(16),
    "leading": leading_grid(12, offset=1),
    "trailing": trailing_grid(9),
    "uneven": pairs([3, 4, 90, 91, 400, 950]),
    "to 500": below(paper_grid(20), 500),
    "two": pairs([10, 700]),
    "one": pairs([300]),
}
SHORT = paper_grid(8)


class Answering:
    """A network of nothing but its eps(x, t), float64; h is x itself, and shifts eps."""

    schedule, dtype, image_shape = linear(), torch.float64, (3, 16, 16)

    def __init__(self, eps: Any) -> None:
        self.eps = eps

    def encode(self, x: Tensor, t: int) -> Encoded:
        return Encoded(x, (), x, x, torch.tensor(t))

    def decode(self, encoded: Encoded, h: Tensor | None = None) -> Tensor:
        shift = 0 if h is None else h - encoded.h
        return cast(Tensor, self.eps(encoded.x, int(encoded.t)) + shift)

    def __call__(self, x: Tensor, t: int) -> Tensor:
        return self.decode(self.encode(x, t))


def up(name: Name, model: Any, x0: Tensor, grid: Sequence[Pair]) -> Tensor:
    """The latent."""
    *_, last = INVERSIONS[name].up(model, model.schedule, x0, grid)
    return last.x


def down(name: Name, model: Any, latent: Tensor, grid: Any, *how: Any) -> list[ReverseStep]:
    return list(INVERSIONS[name].down(model, latent, grid, *how))


def image(seed: int = 3) -> Tensor:
    return noise(2, 3, 16, 16, seed=seed, dtype=torch.float64).clamp(-1, 1)


def constant(model: HSpaceUNet) -> GlobalDirection:
    return GlobalDirection(noise(*model.h_shape, dtype=model.dtype))


# there and back


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", EXACT)
@torch.no_grad()
def test_an_image_comes_back_from_its_latent(name: Name, grid: str, prediction: Prediction) -> None:
    model, x0 = tiny_model(prediction, torch.float64), image()
    latent = up(name, model, x0, GRIDS[grid])
    assert latent.shape[1] == 3 * INVERSIONS[name].parts(len(GRIDS[grid]))
    steps = down(name, model, latent, GRIDS[grid])
    assert [(s.t, s.s) for s in steps] == list(GRIDS[grid])
    assert (steps[-1].x - x0).square().mean().sqrt() < 1e-10


@pytest.mark.parametrize("name", EXACT)
@torch.no_grad()
def test_a_face_comes_back_over_40_steps_in_float32(name: Name) -> None:
    model, grid = load_model("avatars-64"), paper_grid(40)
    face = from_uint8(draw(sample_face("test", 3))[None])
    back = down(name, model, up(name, model, face, grid), grid)[-1].x
    assert (back - face).square().mean() <= (1e-9 if name == "ddpm" else 0)


@torch.no_grad()
def test_ddim_does_not_lead_back(model64: HSpaceUNet) -> None:
    back = down("ddim", model64, up("ddim", model64, image(), SHORT), SHORT)[-1].x
    assert (back - image()).square().mean() > 1e-6


@pytest.mark.parametrize("name", EXACT)
@torch.no_grad()
def test_a_zero_direction_leads_back_bit_for_bit(name: Name, model64: HSpaceUNet) -> None:
    latent = up(name, model64, image(), SHORT)
    zero = ImplicitDirection(model64.h_channels, model64.emb_channels).double()
    plain = down(name, model64, latent, SHORT)
    edited = down(name, model64, latent, SHORT, [Attribute(zero, 300)])
    for ours, other in zip(plain, edited, strict=True):
        assert torch.equal(ours.x, other.x)
        assert torch.equal(other.x0, other.x0_source)
        assert other.edited == (other.t >= 300)


# the equations, written out a second time


def sigma(t: int) -> float:
    return math.sqrt(1 / level(TABLE, t) - 1)


def alpha(t: int) -> float:
    return math.sqrt(level(TABLE, t))


def wavy(x: Tensor, t: int) -> Tensor:
    return 0.8 * torch.sin(1.3 * x + 0.002 * t) + 0.1 * x


@torch.no_grad()
def test_belm_is_the_papers_formula() -> None:
    model, grid = Answering(wavy), GRIDS["uneven"]
    latent = up("belm", model, image(), grid)
    p, t, s = grid[0].t, grid[0].s, grid[1].s
    x_p, x_t = latent.chunk(2, 1)
    h, above = sigma(t) - sigma(s), sigma(p) - sigma(t)
    wanted = h**2 / above**2 * alpha(s) / alpha(p) * x_p
    wanted = wanted + (above**2 - h**2) / above**2 * alpha(s) / alpha(t) * x_t
    wanted = wanted - h * (h + above) / above * alpha(s) * wavy(x_t, t)
    assert torch.allclose(down("belm", model, latent, grid)[1].x, wanted, rtol=1e-9)


@torch.no_grad()
def test_bdia_is_the_papers_formula() -> None:
    model, grid = Answering(wavy), GRIDS["uneven"]
    latent = up("bdia", model, image(), grid)
    p, t, s = grid[0].t, grid[0].s, grid[1].s
    x_p, x_t = latent.chunk(2, 1)

    def integrated(end: int) -> Tensor:
        return alpha(end) * (x_t / alpha(t) + (sigma(end) - sigma(t)) * wavy(x_t, t)) - x_t

    wanted = x_p - integrated(p) + integrated(s)  # gamma = 1
    assert torch.allclose(down("bdia", model, latent, grid)[1].x, wanted, rtol=1e-9)


@torch.no_grad()
def test_edict_is_the_papers_formula() -> None:
    model, (t, s) = Answering(wavy), SHORT[0]
    x, y = noise(2, 3, 4, 4, dtype=torch.float64), noise(2, 3, 4, 4, seed=1, dtype=torch.float64)
    a = alpha(s) / alpha(t)
    b = math.sqrt(1 - alpha(s) ** 2) - a * math.sqrt(1 - alpha(t) ** 2)
    x_mid = a * x + b * wavy(y, t)
    y_mid = a * y + b * wavy(x_mid, t)
    wanted = 0.93 * x_mid + 0.07 * y_mid
    (done, *_) = down("edict", model, torch.cat([x, y], 1), SHORT)
    assert torch.allclose(done.x, wanted, rtol=1e-9)
    assert torch.allclose(done.x0, (x - alpha(t) * sigma(t) * wavy(y, t)) / alpha(t), rtol=1e-9)


@torch.no_grad()
def test_noise_maps_are_what_ancestral_sampling_needs_to_draw() -> None:
    model = Answering(wavy)
    x, *maps = up("ddpm", model, image(), SHORT).chunk(1 + len(SHORT), 1)
    for (t, s), z in zip(SHORT[:-1], maps, strict=False):
        a_t, a_s = level(TABLE, t), level(TABLE, s)  # DDPM, equation 7, of a step from t to s
        x0, ratio = (x - (1 - a_t) ** 0.5 * wavy(x, t)) / a_t**0.5, a_t / a_s
        mean = a_s**0.5 * (1 - ratio) / (1 - a_t) * x0 + ratio**0.5 * (1 - a_s) / (1 - a_t) * x
        x = mean + z
        rest = (x - alpha(s) * image()) / math.sqrt(1 - a_s)
        assert abs(float(rest.mean())) < 0.1  # x_s ~ q(x_s | x0)
        assert 0.9 < float(rest.std()) < 1.1


@torch.no_grad()
def test_noise_maps_depend_on_the_seed_alone(model: HSpaceUNet) -> None:
    x0 = image().float()
    both, one = up("ddpm", model, x0, SHORT), up("ddpm", model, x0[1:], SHORT)
    assert torch.allclose(both[1:], one, atol=1e-5)
    *_, other = INVERSIONS["ddpm"].up(model, model.schedule, x0, SHORT, seed=1)
    assert not torch.allclose(top_of(other.x, 3), top_of(both, 3))


# how near they come to the flow


def test_belm_has_order_two_and_bdia_and_edict_stay_near() -> None:
    """On Gaussian images, whose flow is a closed form, from an exact pair at the top."""
    ideal, z = Gaussian(TABLE), noise(1, 3, 4, 4, dtype=torch.float64)
    model, sizes, found = Answering(ideal.eps), (16, 32, 64, 128), {}  # type: ignore[var-annotated]
    for name in ("ddim", *PAIRS):
        for size in sizes:
            grid = pairs([round(20 + 880 * (i / (size - 1)) ** 1.2) for i in range(size)])[:-1]
            levels = (grid[0].t,) if name == "ddim" else (grid[0].t, grid[0].s)
            levels = (grid[0].t,) * 2 if name == "edict" else levels
            start = torch.cat([ideal.at(z, t) for t in levels], 1)
            *_, done = INVERSIONS[cast(Name, name)].down(model, start, grid)
            error = (done.x - ideal.at(z, grid[-1].s)).abs().max().item()
            found.setdefault(name, []).append(error)
    assert 1.7 < order(sizes, found["belm"]) < 2.6
    assert 0.8 < order(sizes, found["ddim"]) < 1.3
    for name in PAIRS:
        assert found[name][-1] < 2 * found["ddim"][-1], name


@pytest.mark.parametrize("name", PAIRS)
def test_a_latent_is_near_the_end_of_the_flow(name: Name) -> None:
    """Of Gaussian images: x at the top, where DDIM without refinements errs by more."""
    ideal, z = Gaussian(TABLE), noise(1, 3, 4, 4, dtype=torch.float64)
    model, grid = Answering(ideal.eps), paper_grid(40)
    wanted = ideal.at(z, 999)
    ours, plain = (top_of(up(n, model, ideal.at(z, CLEAN), grid), 3) for n in (name, "ddim"))
    assert (ours - wanted).norm() < (plain - wanted).norm()


@pytest.mark.parametrize(("p", "t", "s"), [(999, 973, 948), (30, 20, 10), (51, 25, CLEAN)])
def test_belm_cancels_the_second_order_term(p: int, t: int, s: int) -> None:
    """Of y = sigma^2, whose eps is 2 sigma: DDIM is wrong by h^2, BELM not at all."""
    h, above = sigma(t) - sigma(s), sigma(p) - sigma(t)
    w = belm.weight(linear(), p, t, s) * alpha(p) / alpha(s)
    down_error = sigma(s) ** 2 - (sigma(t) ** 2 - h * 2 * sigma(t))
    up_error = sigma(p) ** 2 - (sigma(t) ** 2 + above * 2 * sigma(t))
    assert down_error == pytest.approx(w * up_error, rel=1e-6)


# edits


@pytest.mark.parametrize("name", ["ddim", *EXACT])
@torch.no_grad()
def test_an_edit_moves_x_by_what_it_moves_p(name: Name, model64: HSpaceUNet) -> None:
    """The first step, of every method but EDICT, which mixes two of them."""
    latent = up(name, model64, image(), SHORT)
    act = Attribute(constant(model64), 900, 0.5, trained_steps=8)
    plain, edited = (next(iter(down(name, model64, latent, SHORT, a))) for a in ([], [act]))
    assert torch.equal(edited.x0_source, plain.x0)
    move = edited.x0 - edited.x0_source
    assert move.abs().max() > 1e-3
    moved = edited.x - plain.x
    if name != "edict":
        assert torch.allclose(moved, alpha(SHORT[0].s) * move, rtol=1e-6, atol=1e-12)
    else:
        assert 0.9 < float((moved * move).sum() / move.square().sum()) / alpha(SHORT[0].s) < 1.1


@pytest.mark.parametrize("name", ["ddim", *EXACT])
@torch.no_grad()
def test_an_edit_lasts(name: Name) -> None:
    """Where eps does not depend on x, a move of P_t arrives at the image undiminished."""
    model, x0 = Answering(lambda x, t: torch.full_like(x, 0.1 * math.sin(t))), image()
    latent = up(name, model, x0, SHORT)
    act = Attribute(lambda h, emb, t: torch.ones_like(h), 700, 0.5, 8, t_start=900)  # type: ignore
    plain, edited = down(name, model, latent, SHORT), down(name, model, latent, SHORT, [act])
    moves = sum(-sigma(p.t) * 0.5 for p in SHORT if 700 <= p.t <= 900)
    assert torch.allclose(edited[-1].x - plain[-1].x, torch.full_like(x0, moves), rtol=1e-9)


@pytest.mark.parametrize("name", EXACT)
@torch.no_grad()
def test_a_direction_acts_in_its_interval_with_s_over_s(name: Name, model64: HSpaceUNet) -> None:
    latent, once = up(name, model64, image(), SHORT), Attribute(constant(model64), 400, 0.2, 8)
    twice = Attribute(once.direction, 400, 0.1, trained_steps=16)
    a, b = (down(name, model64, latent, SHORT, [act]) for act in (once, twice))
    assert [s.edited for s in a] == [p.t >= 400 for p in SHORT]
    assert torch.allclose(a[-1].x, b[-1].x, atol=1e-12)
    assert not torch.allclose(a[-1].x, image(), atol=1e-3)


@pytest.mark.parametrize("name", EXACT)
@torch.no_grad()
def test_below_t_boost_the_steps_are_those_of_ddim_with_noise(
    name: Name, model64: HSpaceUNet
) -> None:
    latent = up(name, model64, image(), SHORT)
    done = down(name, model64, latent, SHORT, (), 400, seeded_generators(2))
    quiet = [p for p in SHORT if p.t >= 400]
    rest = SHORT[len(quiet) :]
    again = reverse_process(model64, done[len(quiet) - 1].x, rest, (), 400, seeded_generators(2))
    for ours, wanted in zip(done[len(quiet) :], again, strict=True):
        assert torch.equal(ours.x, wanted.x)
    with pytest.raises(AsyrpError, match="t_boost must be at most t_edit"):
        down(name, model64, latent, SHORT, [Attribute(constant(model64), 300)], 400)


# what they cost


@pytest.mark.parametrize(
    ("name", "rise", "fall", "edit"),
    [("belm", 9, 8, 3), ("bdia", 9, 8, 3), ("edict", 16, 16, 6), ("ddpm", 8, 8, 3)],
)
@torch.no_grad()
def test_network_calls(name: Name, rise: int, fall: int, edit: int, model: HSpaceUNet) -> None:
    with counted(model) as cost:
        latent = up(name, model, image().float(), SHORT)
    assert (cost.encodes, cost.decodes) == (2 * rise, 2 * rise)
    act = Attribute(constant(model), SHORT[2].t)
    with counted(model) as cost:
        down(name, model, latent, SHORT, [act])
    assert (cost.encodes, cost.decodes) == (2 * fall, 2 * (fall + edit))


def test_an_unknown_inversion_is_refused() -> None:
    with pytest.raises(AsyrpError, match="one of ddim, belm, bdia, edict, ddpm; got 'null-text'"):
        inversion_of("null-text")
