"""f_t and its kin as models of diffusers."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from asyrp.errors import AsyrpError
from asyrp.method.direction_file import load_direction, save_direction
from asyrp.method.directions import GlobalDirection, ImplicitDirection, TimestepDirection
from asyrp.networks.direction_model import DirectionModel
from conftest import noise
from pipelines import implicit, network, saved

DIRECTIONS: dict[str, Callable[[], nn.Module]] = {
    "f_t": lambda: implicit(network()),
    "f_t without time, adm": lambda: ImplicitDirection(16, 32, "adm", False, use_time=False),
    "table": lambda: TimestepDirection({3: noise(16, 8, 8), 700: noise(16, 8, 8, seed=1)}),
    "global": lambda: GlobalDirection(noise(16, 1, 1)),
}


@pytest.mark.parametrize("name", DIRECTIONS)
@torch.no_grad()
def test_a_direction_survives_as_a_model_and_as_a_file(name: str, tmp_path: Path) -> None:
    first = saved(DIRECTIONS[name](), training={"epochs": 2}, t_start=900)
    DirectionModel.of(first).save_pretrained(tmp_path / "model")
    loaded = DirectionModel.from_pretrained(tmp_path / "model")
    h, emb = noise(2, 16, 8, 8), noise(2, 32, seed=1)
    for t in (0, 600):
        assert torch.equal(loaded(h, emb, t), first.direction(h, emb, t))
    assert loaded.card == first.card
    assert not any(p.requires_grad for p in loaded.parameters())
    save_direction(tmp_path / "d.safetensors", *loaded.saved())
    again = load_direction(tmp_path / "d.safetensors", network())
    assert again.card == first.card
    assert torch.equal(again.direction(h, emb, 600), first.direction(h, emb, 600))


def test_a_direction_without_a_card_says_so() -> None:
    with pytest.raises(AsyrpError, match="no card"):
        _ = DirectionModel(channels=16, emb_channels=32).card
