import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from asyrp.errors import AsyrpError
from asyrp.method.directions import (
    Direction,
    GlobalDirection,
    ImplicitDirection,
    Layout,
    Scaled,
    Sum,
    TimestepDirection,
    global_direction,
    mean_direction,
)
from conftest import noise

H, EMB = noise(2, 8, 4, 4), noise(2, 12, seed=1)


def random_implicit(layout: Layout = "ddpm", use_time: bool = True) -> ImplicitDirection:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return ImplicitDirection(8, 12, layout, zero_init=False, use_time=use_time)


@pytest.mark.parametrize(("layout", "count"), [("ddpm", 788_992), ("adm", 790_016)])
def test_f_t_has_the_official_number_of_weights(layout: Layout, count: int) -> None:
    f_t = ImplicitDirection(512, 512, layout)
    assert sum(p.numel() for p in f_t.parameters()) == count
    assert f_t.norm_out.num_groups == 32
    assert f_t.norm_out.eps == (1e-6 if layout == "ddpm" else 1e-5)


def test_f_t_of_imagenet_has_the_official_number_of_weights() -> None:
    f_t = ImplicitDirection(1024, 1024, "adm")
    assert sum(p.numel() for p in f_t.parameters()) == 3_152_896


@pytest.mark.parametrize("layout", ["ddpm", "adm"])
def test_zero_init_is_exactly_zero_and_can_learn(layout: Layout) -> None:
    f_t = ImplicitDirection(8, 12, layout)
    dh = f_t(H, EMB, 5)
    assert torch.equal(dh, torch.zeros_like(H))
    (dh - 1).square().sum().backward()
    assert float(f_t.conv_out.weight.grad.norm()) > 0


@pytest.mark.parametrize("layout", ["ddpm", "adm"])
@torch.no_grad()
def test_f_t_by_hand(layout: Layout) -> None:
    f_t = random_implicit(layout)
    x = H
    if f_t.norm_in is not None:
        x = functional.silu(functional.group_norm(x, 8, f_t.norm_in.weight, f_t.norm_in.bias, 1e-5))
    x = torch.einsum("oc,bchw->bohw", f_t.conv_in.weight[:, :, 0, 0], x)
    x = x + f_t.conv_in.bias[:, None, None]
    x = x + (functional.silu(EMB) @ f_t.time_proj.weight.T + f_t.time_proj.bias)[..., None, None]
    eps = 1e-6 if layout == "ddpm" else 1e-5
    x = functional.group_norm(x, 8, f_t.norm_out.weight, f_t.norm_out.bias, eps)
    x = torch.einsum("oc,bchw->bohw", f_t.conv_out.weight[:, :, 0, 0], functional.silu(x))
    x = x + f_t.conv_out.bias[:, None, None]
    assert torch.allclose(f_t(H, EMB, 5), x, atol=1e-5)


@torch.no_grad()
def test_time_can_be_left_out() -> None:
    other = noise(2, 12, seed=9)
    timed, timeless = random_implicit(), random_implicit(use_time=False)
    assert not torch.equal(timed(H, EMB, 5), timed(H, other, 5))
    assert torch.equal(timeless(H, EMB, 5), timeless(H, other, 5))


def test_norm_first_layout_learns_from_channels_last_features() -> None:
    """torch's GroupNorm crashed the process here (CPU, channels_last, input without gradient)."""
    grads = []
    for h in (H, H.to(memory_format=torch.channels_last)):
        f_t = random_implicit("adm")
        f_t(h, EMB, 5).square().sum().backward()
        grads.append(f_t.norm_in.weight.grad)
    assert torch.allclose(*grads, atol=1e-5)


@pytest.mark.parametrize(("channels", "groups"), [(512, 32), (96, 32), (48, 24), (7, 7), (37, 1)])
def test_norm_groups_divide_the_channels(channels: int, groups: int) -> None:
    assert ImplicitDirection(channels, 12).norm_out.num_groups == groups


def test_unknown_layouts_are_refused() -> None:
    with pytest.raises(AsyrpError, match="'ddpm' or 'adm'; got 'unet'"):
        ImplicitDirection(8, 12, "unet")  # type: ignore[arg-type]


def table() -> TimestepDirection:
    return TimestepDirection({t: noise(8, 4, 4, seed=t) for t in (900, 100, 500)})


@pytest.mark.parametrize(
    ("t", "nearest"), [(0, 100), (100, 100), (299, 100), (301, 500), (699, 500), (999, 900)]
)
def test_a_table_answers_with_its_nearest_timestep(t: int, nearest: int) -> None:
    assert torch.equal(table()(H, EMB, t)[0], noise(8, 4, 4, seed=nearest))


def test_a_table_is_sorted_copied_and_broadcast() -> None:
    given = {5: torch.zeros(8, 4, 4), 2: torch.ones(8, 4, 4)}
    direction = TimestepDirection(given)
    given[5] += 3
    assert direction.times == (2, 5)
    assert {t: float(dh.mean()) for t, dh in direction.table.items()} == {2: 1.0, 5: 0.0}
    assert (H + direction(H, EMB, 5)).shape == H.shape
    direction(H, EMB, 5).sum().backward()
    assert direction.values[0].grad is None
    assert torch.equal(direction.values[1].grad, torch.ones(8, 4, 4))


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(AsyrpError, match="at least one timestep"):
        TimestepDirection({})


@pytest.mark.parametrize("shape", [(8, 4, 4), (8, 1, 1)])
def test_a_global_direction_is_the_same_everywhere(shape: tuple[int, ...]) -> None:
    dh = noise(*shape)
    direction = GlobalDirection(dh)
    assert torch.equal(direction(H, EMB, 3), direction(2 * H, 0 * EMB, 999))
    assert torch.equal((H + direction(H, EMB, 3)), H + dh[None])


def algebra_cases() -> list[tuple[Direction, Tensor]]:
    f, g, h = random_implicit(), table(), GlobalDirection(noise(8, 1, 1, seed=4))
    with torch.no_grad():
        a, b, c = (d(H, EMB, 480) for d in (f, g, h))
    return [
        (Scaled(f, 0.5), 0.5 * a),
        (Scaled(f, -1.0), -a),
        (Scaled(Scaled(f, 2.0), 3.0), 6 * a),
        (Scaled(f, 0.0), 0 * a),
        (Sum([f, g, h]), a + b + c),
        (Sum([h, g, f]), a + b + c),
        (Sum([f, Scaled(f, -1.0)]), 0 * a),
        (Sum([Sum([f, g]), Scaled(Sum([g, h]), -1.0)]), a - c),
        (Scaled(Sum([f, g]), 2.0), 2 * a + 2 * b),
        (Sum([]), 0 * a),
    ]


@pytest.mark.parametrize("case", range(10))
@torch.no_grad()
def test_algebra(case: int) -> None:
    direction, wanted = algebra_cases()[case]
    assert torch.allclose(direction(H, EMB, 480), wanted, atol=1e-5)


def test_mean_direction_is_numpys_mean_whatever_the_batches() -> None:
    dh = {t: noise(7, 8, 4, 4, seed=t) for t in (999, 500)}
    batches = [{t: v[rows] for t, v in dh.items()} for rows in (slice(0, 4), slice(4, 7))]
    found = mean_direction(iter(batches))
    assert found.times == (500, 999)
    for t, values in dh.items():
        wanted = values.numpy().astype(np.float64).mean(0)
        np.testing.assert_allclose(found.table[t].numpy(), wanted, atol=1e-7)
        assert found.table[t].dtype == torch.float32


def test_mean_direction_counts_each_timestep_by_itself() -> None:
    ones = torch.ones(1, 8, 4, 4)
    found = mean_direction([{10: ones, 20: ones}, {10: 3 * ones}]).table
    assert float(found[10].mean()) == 2.0
    assert float(found[20].mean()) == 1.0


def test_global_direction_is_the_mean_over_timesteps() -> None:
    wanted = np.mean([dh.numpy() for dh in table().table.values()], axis=0)
    np.testing.assert_allclose(global_direction(table()).dh.detach().numpy(), wanted, atol=1e-6)
