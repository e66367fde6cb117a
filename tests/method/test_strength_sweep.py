"""Several edits at once: each equal to its own walk, for a part of the work."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.cost import counted
from asyrp.method.directions import Direction, GlobalDirection, ImplicitDirection, TimestepDirection
from asyrp.method.editing import edit
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import linear
from asyrp.method.strength_sweep import strip
from asyrp.method.text_conditioning import FixedPrompt
from conftest import noise, tiny_model

LEFT, TOP = (0.0, 0, 0.5, 0, 0.5, 1, 0, 1), (0.0, 0, 1, 0, 1, 0.5, 0, 0.5)
STEPS = 8  # 999, 856, 713, 570, 428, 285, 142, 0


@pytest.fixture(scope="module")
def model() -> HSpaceUNet:
    """On v-prediction in float64: what differs is not rounding."""
    return tiny_model("v_prediction", torch.float64)


@pytest.fixture(scope="module")
def f_t(model: HSpaceUNet) -> ImplicitDirection:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = ImplicitDirection(model.h_channels, model.emb_channels, zero_init=False)
    return made.double().requires_grad_(False)


def table(model: HSpaceUNet) -> TimestepDirection:
    shape = model.h_shape
    dhs = {t: noise(*shape, seed=t, dtype=torch.float64) for t in (999, 713, 500)}
    return TimestepDirection(dhs).requires_grad_(False)


def ways(model: HSpaceUNet, f_t: ImplicitDirection) -> dict[str, list[list[Attribute]]]:
    """Strips by name."""
    other, fixed = table(model), GlobalDirection(noise(*model.h_shape, dtype=torch.float64))
    fixed.requires_grad_(False)
    return {
        "one": [[Attribute(f_t, 500)]],
        "none": [[]],
        "strengths": [[Attribute(f_t, 500, s)] for s in (-1.0, 0.0, 0.5, 1.0, 2.0)],
        "late start": [[Attribute(f_t, 400, s, t_start=800)] for s in (0.0, 1.0, -1.0)],
        "directions": [[Attribute(d, 500)] for d in (f_t, other, fixed)],
        "intervals": [
            [Attribute(f_t, 600, t_start=900)],
            [Attribute(f_t, 300, 2.0, t_start=700)],
            [Attribute(other, 300, t_start=700)],
            [],
            [Attribute(f_t, 600, t_start=900)],
        ],
        "sums": [
            [Attribute(f_t, 500), Attribute(other, 700, -0.5)],
            [Attribute(f_t, 500), Attribute(fixed, 300, t_start=600)],
            [Attribute(f_t, 500), Attribute(f_t, 700, 0.25)],
        ],
        "regions": [
            [Attribute(fixed, 500)],
            [Attribute(fixed, 500, region=LEFT)],
            [Attribute(fixed, 500, region=LEFT), Attribute(f_t, 400)],
            [Attribute(fixed, 500, 0.5, region=LEFT), Attribute(f_t, 400, 0.0)],
            [Attribute(fixed, 500, region=LEFT), Attribute(other, 700, region=TOP)],
        ],
        "training lengths": [[Attribute(f_t, 500, trained_steps=n)] for n in (10, 40)],
    }


NAMES = ["one", "none", "strengths", "late start", "directions", "intervals", "sums"]


@pytest.mark.parametrize("name", [*NAMES, "regions", "training lengths"])
@pytest.mark.parametrize("t_boost", [0, 250])
def test_each_edit_of_a_strip_is_that_edit(
    model: HSpaceUNet, f_t: ImplicitDirection, name: str, t_boost: int
) -> None:
    x, edits = noise(3, 3, 16, 16, dtype=torch.float64), ways(model, f_t)[name]
    found = strip(model, x, edits, STEPS, t_boost, seed=4)
    wanted = torch.stack([edit(model, x, way, STEPS, t_boost, seed=4) for way in edits])
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
    assert len(found.flatten(1).unique(dim=0)) == {"none": 1, "intervals": 4}.get(name, len(edits))


@pytest.mark.parametrize("size", [1, 2, 6, 7, 64])
def test_batches_do_not_matter(model: HSpaceUNet, f_t: ImplicitDirection, size: int) -> None:
    x, edits = noise(5, 3, 16, 16, dtype=torch.float64), ways(model, f_t)["late start"]
    wanted = strip(model, x, edits, STEPS, 300)
    found = strip(model, x, edits, STEPS, 300, batch_size=size)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_float32_agrees_to_rounding(f_t: ImplicitDirection) -> None:
    model = tiny_model("v_prediction")
    x = noise(2, 3, 16, 16)
    edits = [[Attribute(f_t, 500, s)] for s in (0.0, 1.0)]
    wanted = torch.stack([edit(model, x, way, STEPS) for way in edits])
    torch.testing.assert_close(strip(model, x, edits, STEPS), wanted, rtol=1e-4, atol=1e-4)


# work


@pytest.mark.parametrize(
    ("name", "encodes", "decodes"),
    [
        ("none", 8, 8),
        ("one", 8, 8 + 4),
        # together at 999, then five x; strength 0 is never decoded twice
        ("strengths", 1 + 7 * 5, 1 + 7 * 5 + 4 * 4),
        # together at 999, 856 and 713; edited at 713, 570, 428
        ("late start", 3 + 5 * 3, 3 + 5 * 3 + 2 * 3),
        # 1 x at 999 and 856, where two edits part from the rest; 2 at 713 and 570, then 4
        ("intervals", 2 + 2 * 2 + 4 * 4, 2 + 2 * 2 + 4 * 4 + 2 * 1 + 2 * 2),
    ],
)
def test_what_is_the_same_is_done_once(
    model: HSpaceUNet, f_t: ImplicitDirection, name: str, encodes: int, decodes: int
) -> None:
    x, edits = noise(2, 3, 16, 16, dtype=torch.float64), ways(model, f_t)[name]
    with counted(model) as cost:
        strip(model, x, edits, STEPS)
    assert [cost.encodes, cost.decodes] == [2 * encodes, 2 * decodes]


class Counting:
    """A direction that counts the rows it is asked for."""

    def __init__(self, direction: Direction):
        self.direction, self.rows = direction, 0

    def __call__(self, h: Tensor, emb: Tensor, t: int) -> Tensor:
        self.rows += len(h)
        return self.direction(h, emb, t)


def test_strengths_share_f_t_while_they_share_h(model: HSpaceUNet, f_t: ImplicitDirection) -> None:
    counting = Counting(f_t)
    edits = [[Attribute(counting, 500, s)] for s in (0.5, 1.0, 2.0)]
    strip(model, noise(2, 3, 16, 16, dtype=torch.float64), edits, STEPS)
    assert counting.rows == 2 * (1 + 3 * 3)  # at 999 once; at 856, 713 and 570 for each


# other networks, bad input


def test_a_network_with_guidance_has_strips_too(f_t: ImplicitDirection) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        unet = UNet2DConditionModel(**CONDITIONAL).double()
    model = HSpaceUNet(FixedPrompt(unet, noise(2, 4, 8).double(), 3.0), linear())  # type: ignore[arg-type]
    x = noise(2, 4, 8, 8, dtype=torch.float64)
    way = GlobalDirection(noise(16, 1, 1, dtype=torch.float64)).requires_grad_(False)
    edits: Sequence[list[Attribute]] = [[Attribute(way, 500, s, t_start=900)] for s in (0, 1, -2)]
    found = strip(model, x, edits, 4)
    wanted = torch.stack([edit(model, x, one, 4) for one in edits])
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


CONDITIONAL: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 8,
    "attention_head_dim": 4,
    "norm_num_groups": 4,
}


def test_boosting_above_an_interval_is_refused(model: HSpaceUNet, f_t: ImplicitDirection) -> None:
    x = noise(1, 3, 16, 16, dtype=torch.float64)
    with pytest.raises(AsyrpError, match="t_boost must be at most t_edit"):
        strip(model, x, [[Attribute(f_t, 500)], [Attribute(f_t, 300)]], STEPS, 400)
