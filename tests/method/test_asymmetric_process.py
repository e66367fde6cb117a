from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import (
    Attribute,
    asymmetric,
    epsilon_space,
    intervals_of,
    reverse_process,
    symmetric,
)
from asyrp.method.ddim import generate, predict_x0, seeded_generators
from asyrp.method.directions import GlobalDirection, ImplicitDirection, Scaled, Sum
from asyrp.method.editing_interval import EditInterval
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import CLEAN, Timesteps, pairs, paper_grid
from conftest import noise, tiny_model

GRID = paper_grid(10)


def random_direction(model: HSpaceUNet, seed: int = 0) -> ImplicitDirection:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        f_t = ImplicitDirection(model.h_channels, model.emb_channels, zero_init=False)
    return f_t.to(model.dtype)


def constant(model: HSpaceUNet, seed: int = 0) -> GlobalDirection:
    return GlobalDirection(noise(*model.h_shape, seed=seed, dtype=model.dtype))


def images(count: int = 2, seed: int = 20) -> Tensor:
    return noise(count, 3, 16, 16, seed=seed)


# the plain reconstruction


@pytest.mark.parametrize("t_boost", [0, 300])
@pytest.mark.parametrize("layout", ["ddpm", "adm"])
@torch.no_grad()
def test_a_zero_direction_is_the_plain_walk_bit_for_bit(
    model: HSpaceUNet, layout: Any, t_boost: int
) -> None:
    zero = Attribute(ImplicitDirection(model.h_channels, model.emb_channels, layout), 400)
    runs = [
        list(reverse_process(model, images(), GRID, attributes, t_boost, seeded_generators(2)))
        for attributes in ([], [zero], [zero, zero])
    ]
    for plain, *others in zip(*runs, strict=True):
        for other in others:
            assert torch.equal(plain.x, other.x)
            assert torch.equal(plain.x0, other.x0)
            assert torch.equal(other.x0, other.x0_source)


@torch.no_grad()
def test_without_attributes_the_walk_is_ddim(model: HSpaceUNet) -> None:
    plain = generate(model, model.schedule, images(), GRID)
    for ours, theirs in zip(reverse_process(model, images(), GRID), plain, strict=True):
        assert torch.equal(ours.x, theirs.x)
        assert torch.equal(ours.x0, theirs.x0)
        assert (ours.t, ours.s, ours.edited) == (theirs.t, theirs.s, False)


@torch.no_grad()
def test_boosting_all_the_way_is_ddim_with_eta_one(model: HSpaceUNet) -> None:
    *_, ours = reverse_process(model, images(), GRID, t_boost=1000, generators=seeded_generators(2))
    plain = generate(model, model.schedule, images(), GRID, 1.0, seeded_generators(2))
    *_, theirs = plain
    assert torch.equal(ours.x, theirs.x)


# one edited step


@torch.no_grad()
def test_equation_5_by_hand(model: HSpaceUNet) -> None:
    direction, x, pair = random_direction(model), images(), GRID[2]
    attribute = Attribute(direction, 0, 1.5, trained_steps=1)
    (done,) = reverse_process(model, x, [pair], [attribute])
    encoded = model.encode(x, pair.t)
    dh = direction(encoded.h, encoded.emb, pair.t)
    eps, shifted = model.unet(x, pair.t).sample, model.decode(encoded, encoded.h + 1.5 * dh)
    now, then = model.schedule.alpha_bar(pair.t), model.schedule.alpha_bar(pair.s)
    x0 = (x - (1 - now) ** 0.5 * shifted) / now**0.5
    assert torch.allclose(done.x0, x0, atol=1e-5)
    assert torch.allclose(done.x, then**0.5 * x0 + (1 - then) ** 0.5 * eps, atol=1e-5)
    assert torch.allclose(done.x0_source, predict_x0(x, eps, now), atol=1e-5)
    assert not torch.allclose(done.x0, done.x0_source, atol=1e-3)


@torch.no_grad()
def test_three_ways_to_apply_a_shift(model: HSpaceUNet) -> None:
    encoded = model.encode(images(), 500)
    plain = model.decode(encoded)

    def double(value: Tensor) -> Tensor:
        return value

    shifted = model.decode(encoded, 2 * encoded.h)
    for found, wanted in [
        (asymmetric(model, encoded, double), (shifted, plain)),
        (symmetric(model, encoded, double), (shifted, shifted)),
        (epsilon_space(model, encoded, double), (2 * plain, plain)),
    ]:
        assert torch.equal(found[0], wanted[0])
        assert torch.equal(found[1], wanted[1])


# batches and seeds


@pytest.mark.parametrize("t_boost", [0, 400])
@torch.no_grad()
def test_pictures_do_not_depend_on_the_batch(model: HSpaceUNet, t_boost: int) -> None:
    x, attributes = images(8), [Attribute(random_direction(model), 400)]
    *_, together = reverse_process(model, x, GRID, attributes, t_boost, seeded_generators(8))
    for i in range(8):
        generators = seeded_generators(1, first=i)
        *_, alone = reverse_process(model, x[i : i + 1], GRID, attributes, t_boost, generators)
        scale = float(together.x[i].abs().max())  # pictures of a random network are not in [-1, 1]
        assert torch.allclose(alone.x[0], together.x[i], rtol=0, atol=1e-5 * scale)


@torch.no_grad()
def test_boosting_changes_only_what_lies_below_t_boost(model: HSpaceUNet) -> None:
    runs = [
        list(
            reverse_process(
                model, images(), GRID, t_boost=300, generators=seeded_generators(2, seed)
            )
        )
        for seed in (0, 1)
    ]
    for a, b in zip(*runs, strict=True):
        assert torch.equal(a.x, b.x) == (a.t >= 300)


@torch.no_grad()
def test_boosting_begins_strictly_below_t_boost(model: HSpaceUNet) -> None:
    at, above = GRID[5].t, GRID[5].t + 1
    *_, plain = reverse_process(model, images(), GRID[:6])
    *_, same = reverse_process(
        model, images(), GRID[:6], t_boost=at, generators=seeded_generators(2)
    )
    *_, noisy = reverse_process(
        model, images(), GRID[:6], t_boost=above, generators=seeded_generators(2)
    )
    assert torch.equal(plain.x, same.x)
    assert not torch.equal(plain.x, noisy.x)


# the editing interval


def counted(
    model: HSpaceUNet, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], Callable[[], None]]:
    calls: list[str] = []
    for name in ("encode", "decode_raw"):
        original = getattr(model, name)

        def spy(*args: Any, original: Any = original, name: str = name) -> Any:
            calls.append(name)
            return original(*args)

        monkeypatch.setattr(model, name, spy)
    return calls, calls.clear


@pytest.mark.parametrize("count", [1, 3])
@torch.no_grad()
def test_one_decoder_call_outside_the_interval_and_two_inside(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    model = tiny_model()
    attributes = [Attribute(constant(model), 500)] * count
    calls, clear = counted(model, monkeypatch)
    for done in reverse_process(model, images(), GRID, attributes, 200, seeded_generators(2)):
        wanted = 2 if done.t >= 500 else 1
        assert calls == ["encode"] + ["decode_raw"] * wanted
        assert done.edited == (done.t >= 500)
        clear()


class Spy:
    """A direction that remembers when it was asked."""

    def __init__(self, dh: Tensor):
        self.dh, self.times = dh, []

    def __call__(self, h: Tensor, emb: Tensor, t: int) -> Tensor:
        self.times.append(t)
        return self.dh


@torch.no_grad()
def test_each_attribute_acts_on_its_own_interval(model: HSpaceUNet) -> None:
    a, b = Spy(noise(1, *model.h_shape)), Spy(noise(1, *model.h_shape, seed=1))
    times = [pair.t for pair in GRID]
    list(reverse_process(model, images(), GRID, [Attribute(a, 555), Attribute(b, 300)]))
    assert a.times == [t for t in times if t >= 555] == [999, 888, 777, 666, 555]
    assert b.times == [t for t in times if t >= 300]


@torch.no_grad()
def test_attributes_add_in_h(model: HSpaceUNet) -> None:
    a, b = random_direction(model), constant(model)
    joint = Sum([Scaled(a, 0.7), Scaled(b, -0.2)])
    apart = [Attribute(a, 400, 0.7), Attribute(b, 400, -0.2)]
    *_, one = reverse_process(model, images(), GRID, apart)
    *_, two = reverse_process(model, images(), GRID, [Attribute(joint, 400)])
    assert torch.allclose(one.x, two.x, atol=1e-5)


@torch.no_grad()
def test_negative_strength_runs_backwards(model64: HSpaceUNet) -> None:
    direction, x = constant(model64), images().double()
    *_, base = reverse_process(model64, x, GRID)
    moved = []
    for strength in (1e-4, -1e-4):
        *_, last = reverse_process(model64, x, GRID, [Attribute(direction, 400, strength)])
        moved.append(last.x - base.x)
    assert float((moved[0] + moved[1]).norm()) < 0.01 * float(moved[0].norm())
    *_, turned = reverse_process(model64, x, GRID, [Attribute(Scaled(direction, -1.0), 400, 1e-4)])
    assert torch.allclose(turned.x - base.x, moved[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [10, 40, 100])
def test_the_sum_of_dh_does_not_depend_on_the_number_of_steps(steps: int) -> None:
    spy = Spy(torch.ones(1))
    attribute = Attribute(spy, 0, strength=0.5, trained_steps=40)
    h = torch.zeros(1)
    total = sum(attribute.dh(h, h, pair.t, steps) for pair in paper_grid(steps))
    assert float(total) == pytest.approx(20.0, rel=1e-6)
    assert float(attribute.dh(h, h, 500, steps)) == pytest.approx(0.5 * 40 / steps)


# gradients


def test_gradients_reach_the_direction_through_the_present_step_only(model: HSpaceUNet) -> None:
    direction = constant(model)
    grads = []
    for done in reverse_process(model, images(), GRID[:3], [Attribute(direction, 0)]):
        direction.dh.grad = None
        done.x0.square().mean().backward()
        assert not done.x0_source.requires_grad
        grads.append(direction.dh.grad.clone())
    (again,) = reverse_process(
        model, images(), GRID[:1], [Attribute(direction, 0, trained_steps=40 // 3)]
    )
    assert all(float(grad.norm()) > 0 for grad in grads)
    assert again.x.requires_grad


def test_the_walk_follows_the_direction_as_it_is_now(model: HSpaceUNet) -> None:
    direction = GlobalDirection(torch.zeros(model.h_shape))
    steps = reverse_process(model, images(), GRID[:2], [Attribute(direction, 0)])
    first = next(steps)
    assert torch.allclose(first.x0, first.x0_source)
    with torch.no_grad():
        direction.dh += 1
    second = next(steps)
    assert not torch.allclose(second.x0, second.x0_source, atol=1e-3)


# errors


def test_boosting_above_an_editing_interval_is_refused(model: HSpaceUNet) -> None:
    attributes = [Attribute(constant(model), 500), Attribute(constant(model), 300)]
    with pytest.raises(AsyrpError, match="t_boost 301 > t_edit 300; lower t_boost"):
        next(reverse_process(model, images(), GRID, attributes, 301, seeded_generators(2)))
    assert [one.t_edit for one in intervals_of(attributes, 300)] == [500, 300]


def test_negative_t_boost_is_refused() -> None:
    with pytest.raises(AsyrpError, match="0 or more; got -1"):
        intervals_of([], -1)


@torch.no_grad()
def test_a_part_of_a_grid_edits_as_the_whole_does(model: HSpaceUNet) -> None:
    acts = [Attribute(constant(model), 300, 0.7, trained_steps=7)]
    x, whole = images(), list(reverse_process(model, images(), GRID, [*acts]))
    for k in range(len(GRID)):
        (done,) = reverse_process(model, x, GRID[k : k + 1], acts)
        assert torch.equal(done.x, whole[k].x)
        x = done.x
    alone = Timesteps(GRID.pairs[:1], 1)  # a grid of its own, where dh is ten times as large
    (far,) = reverse_process(model, images(), alone, acts)
    assert not torch.equal(far.x, whole[0].x)


@pytest.mark.parametrize(
    ("phases", "told"),
    [((400, 500), "t_start 400 < t_edit 500"), ((500, 400, 401), "t_boost 401 > t_edit 400"),
     ((500, 400, -1), "0 or more; got -1")],
)  # fmt: skip
def test_an_interval_checks_itself(phases: tuple[int, ...], told: str) -> None:
    with pytest.raises(AsyrpError, match=told):
        EditInterval(*phases)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_boosting_needs_a_generator_for_each_image(model: HSpaceUNet, count: int) -> None:
    with pytest.raises(AsyrpError, match=f"2 images need 2 generators, one each; got {count}"):
        list(reverse_process(model, images(), pairs([10, 20]), (), 100, seeded_generators(count)))


@torch.no_grad()
def test_the_last_step_is_the_image(model: HSpaceUNet) -> None:
    *_, last = reverse_process(model, images(), GRID, [Attribute(constant(model), 0)])
    assert last.s == CLEAN
    assert torch.equal(last.x, last.x0)
