"""Whole jobs on batches of images."""

from typing import Any

import pytest
import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import Attribute, symmetric
from asyrp.method.ddim import invert_steps
from asyrp.method.directions import GlobalDirection, ImplicitDirection
from asyrp.method.editing import edit, invert, random_latents
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import paper_grid
from conftest import noise, tiny_model

STEPS = 8  # 0, 142, 285, 428, 570, 713, 856, 999


@pytest.fixture(scope="module")
def model() -> HSpaceUNet:
    """On v-prediction, which keeps x bounded in a random network."""
    return tiny_model("v_prediction")


def images(count: int = 5) -> Tensor:
    return noise(count, 3, 16, 16, seed=3).tanh()


def shifted(model: HSpaceUNet, strength: float = 1.0, t_edit: int = 400) -> Attribute:
    return Attribute(GlobalDirection(noise(*model.h_shape)), t_edit, strength)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


class Reports(list[tuple[int, int]]):
    """Remembers every report of progress."""

    def __call__(self, done: int, total: int) -> None:
        self.append((done, total))

    def whole(self) -> bool:
        """From a first step to the last, always forwards."""
        done, totals = zip(*self, strict=True)
        return done[-1] == totals[-1] and len(set(totals)) == 1 and sorted(set(done)) == list(done)


# invert


@pytest.mark.parametrize("size", [1, 2, 5])
def test_inversion_does_not_depend_on_the_batch_size(model: HSpaceUNet, size: int) -> None:
    x = images()
    whole, parts = invert(model, x, STEPS), invert(model, x, STEPS, batch_size=size)
    close(whole.latents, parts.latents)
    close(whole.reconstructions, parts.reconstructions)
    close(whole.errors, parts.errors)


@pytest.mark.parametrize("convention", ["source", "target", "extrapolated"])
def test_inversion_is_the_walk_up_and_down(model: HSpaceUNet, convention: Any) -> None:
    x, grid = images(), paper_grid(STEPS)
    done = invert(model, x, STEPS, convention, refinements=1)
    with torch.no_grad():
        *_, last = invert_steps(model, model.schedule, x, grid, convention, 1)
    close(done.latents, last.x)
    close(done.reconstructions, edit(model, done.latents, (), STEPS))
    wanted = [float((a - b).square().mean()) for a, b in zip(done.reconstructions, x, strict=True)]
    assert done.errors.tolist() == pytest.approx(wanted, rel=1e-5)
    assert not done.latents.requires_grad


def test_refinements_bring_the_image_back(model: HSpaceUNet) -> None:
    errors = [invert(model, images(2), 20, refinements=n).errors.mean() for n in (0, 1, 4)]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize(("up_to", "reached"), [(999, 999), (600, 570), (570, 570), (150, 142)])
def test_inversion_may_stop_on_the_way(model: HSpaceUNet, up_to: int, reached: int) -> None:
    x = images(2)
    with torch.no_grad():
        states = {s.t: s.x for s in invert_steps(model, model.schedule, x, paper_grid(STEPS))}
    done = invert(model, x, STEPS, up_to=up_to)
    close(done.latents, states[reached])
    assert done.reconstructions.shape == x.shape
    assert done.errors.max() < 1


def test_an_inversion_up_to_the_lowest_timestep_is_the_image(model: HSpaceUNet) -> None:
    assert torch.equal(invert(model, images(2), STEPS, up_to=0).latents, images(2))


@pytest.mark.parametrize("convention", ["source", "target", "extrapolated"])
@pytest.mark.parametrize("up_to", [None, 500, 0])
def test_inversion_reports_every_step(
    model: HSpaceUNet, convention: Any, up_to: int | None
) -> None:
    reports = Reports()
    invert(model, images(), STEPS, convention, 1, 2, reports, up_to)
    assert reports.whole()
    levels = len([pair for pair in paper_grid(STEPS) if up_to is None or pair.t <= up_to])
    assert len(reports) == 3 * (2 * levels - (convention != "target"))  # of 5 images, 2 at a time
    assert reports[-1][0] == 5 * (2 * levels - (convention != "target"))


def test_images_of_any_precision_are_taken(model: HSpaceUNet) -> None:
    done = invert(model, images(2).double(), STEPS)
    assert done.latents.dtype == torch.float32
    assert torch.equal(done.latents, invert(model, images(2), STEPS).latents)


def test_a_network_in_bfloat16_carries_x_in_float32(model: HSpaceUNet) -> None:
    """Rounding x at every step would cost more than rounding the network."""
    low, x = tiny_model("v_prediction", torch.bfloat16), images(2)
    done, exact = invert(low, x, STEPS, refinements=1), invert(model, x, STEPS, refinements=1)
    assert done.latents.dtype == done.reconstructions.dtype == torch.float32
    assert float((done.latents - exact.latents).norm() / exact.latents.norm()) < 0.02
    edits = edit(low, done.latents, [shifted(low)], STEPS, 200)
    assert edits.dtype == torch.float32
    wanted = edit(model, exact.latents, [shifted(model)], STEPS, 200)
    assert float((edits - wanted).norm() / wanted.norm()) < 0.05


@pytest.mark.parametrize("kind", ["f_t", "f_t in float64", "global"])
@torch.no_grad()
def test_a_direction_keeps_its_precision_and_answers_in_that_of_h(kind: str) -> None:
    low = tiny_model(dtype=torch.bfloat16)
    f_t = ImplicitDirection(low.h_channels, low.emb_channels, zero_init=False)
    f_t = f_t.double() if "64" in kind else f_t
    direction = GlobalDirection(noise(*low.h_shape)) if kind == "global" else f_t
    encoded = low.encode(images(2), 500)
    dh = Attribute(direction, 0).dh(encoded.h, encoded.emb, 500, 40)
    assert encoded.h.dtype == dh.dtype == torch.bfloat16
    assert low.decode(encoded, encoded.h + dh).dtype == torch.float32


# edit


@pytest.mark.parametrize("t_boost", [0, 300])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_editing_does_not_depend_on_the_batch_size(
    model: HSpaceUNet, size: int, t_boost: int
) -> None:
    x, acts = random_latents(model, 5), [shifted(model, 0.3)]
    whole = edit(model, x, acts, STEPS, t_boost, 7)
    close(whole, edit(model, x, acts, STEPS, t_boost, 7, size))
    assert not whole.requires_grad


@pytest.mark.parametrize("t_boost", [0, 300])
def test_a_zero_strength_is_the_plain_reconstruction(model: HSpaceUNet, t_boost: int) -> None:
    x = random_latents(model, 3)
    plain = edit(model, x, (), STEPS, t_boost)
    assert torch.equal(plain, edit(model, x, [shifted(model, 0.0)], STEPS, t_boost))
    assert not torch.allclose(plain, edit(model, x, [shifted(model)], STEPS, t_boost), atol=0.01)


def test_the_seed_is_that_of_the_boosting_noise(model: HSpaceUNet) -> None:
    x = random_latents(model, 2)
    once, again, other = (edit(model, x, (), STEPS, 300, seed) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.allclose(once, other, atol=1e-3)
    assert torch.equal(edit(model, x, (), STEPS, 0, 1), edit(model, x, (), STEPS, 0, 2))


def test_every_image_has_noise_of_its_own(model: HSpaceUNet) -> None:
    twins = random_latents(model, 1).expand(2, -1, -1, -1)
    first, second = edit(model, twins, (), STEPS, 300)
    assert not torch.allclose(first, second, atol=1e-3)


def test_another_way_to_apply_the_shift(model: HSpaceUNet) -> None:
    x, acts = random_latents(model, 1), [shifted(model)]
    ours, both = edit(model, x, acts, STEPS), edit(model, x, acts, STEPS, shift=symmetric)
    assert not torch.allclose(ours, both, atol=1e-2)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_editing_reports_every_step(model: HSpaceUNet, size: int) -> None:
    reports = Reports()
    edit(model, random_latents(model, 5), (), STEPS, batch_size=size, report=reports)
    assert reports.whole()
    assert len(reports) == STEPS * -(-5 // size)
    assert reports[-1] == (5 * STEPS, 5 * STEPS)


# what is refused


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 1, 16, 16), (2, 3, 16, 8), (0, 3, 16, 16)])
def test_images_of_another_shape_are_refused(model: HSpaceUNet, shape: tuple[int, ...]) -> None:
    for job in (invert, edit):
        with pytest.raises(AsyrpError, match=r"needs images of shape \(n, 3, 16, 16\); got \("):
            job(model, torch.zeros(shape))


@pytest.mark.parametrize("make", [Tensor.numpy, list, Tensor.to_sparse])
def test_images_that_are_no_tensor_are_refused(model: HSpaceUNet, make: Any) -> None:
    for job in (invert, edit):
        with pytest.raises(AsyrpError, match="needed images or latents as one dense tensor; got"):
            job(model, make(images(2)))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float8_e4m3fn, torch.uint8])
def test_images_of_another_kind_of_number_are_refused(
    model: HSpaceUNet, dtype: torch.dtype
) -> None:
    with pytest.raises(AsyrpError, match="as floating-point numbers; got (complex|float8|uint8)"):
        invert(model, images(1).abs().to(dtype))


@pytest.mark.parametrize("steps", [-1, 0, 1, 1001, 2.5])
def test_a_number_of_steps_that_no_grid_has_is_refused(model: HSpaceUNet, steps: Any) -> None:
    with pytest.raises(AsyrpError, match=f"must lie in 2..1000; got {steps}"):
        invert(model, images(1), steps)
    with pytest.raises(AsyrpError, match=f"must lie in 2..1000; got {steps}"):
        edit(model, images(1), (), steps)


def test_what_else_is_refused(model: HSpaceUNet) -> None:
    with pytest.raises(
        AsyrpError, match="convention is one of source, target, extrapolated; got 'both'"
    ):
        invert(model, images(1), STEPS, "both")  # type: ignore[arg-type]
    with pytest.raises(AsyrpError, match="a timestep of 0 or more; got up_to -1"):
        invert(model, images(1), STEPS, up_to=-1)
    with pytest.raises(AsyrpError, match="t_boost 401 > t_edit 400"):
        edit(model, images(1), [shifted(model)], STEPS, 401)
    with pytest.raises(AsyrpError, match="the number of samples must be 1 or more; got 0"):
        random_latents(model, 0)


@pytest.mark.parametrize("strength", [float("nan"), float("inf")])
def test_a_strength_that_is_no_number_is_refused(model: HSpaceUNet, strength: float) -> None:
    with pytest.raises(AsyrpError, match="the strength of a direction is a number; got"):
        shifted(model, strength)


# random_latents


def test_random_latents_do_not_depend_on_how_many_are_drawn(model: HSpaceUNet) -> None:
    assert torch.equal(random_latents(model, 6)[:2], random_latents(model, 2))
    assert not torch.equal(random_latents(model, 2, 1), random_latents(model, 2))
    assert not torch.equal(*random_latents(model, 2))


def test_random_latents_are_standard_normal(model: HSpaceUNet) -> None:
    x = random_latents(model, 40)
    assert x.shape == (40, 3, 16, 16)
    assert x.dtype == torch.float32
    assert abs(float(x.mean())) < 0.02  # the standard error is 0.006
    assert float(x.std()) == pytest.approx(1, abs=0.02)
