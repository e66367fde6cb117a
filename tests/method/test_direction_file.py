"""Direction files: what goes in comes out, and what does not fit is refused with the reason."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from asyrp.errors import AsyrpError
from asyrp.method.direction_file import DirectionCard, load_direction, read_card, save_direction
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import linear
from conftest import noise, tiny_model, tiny_unet
from doubles import every_direction, full_card, random_f_t


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "smile.safetensors"


@pytest.fixture(scope="module")
def card(model: HSpaceUNet) -> DirectionCard:
    return full_card(model)


# round trips


@pytest.mark.parametrize(
    "kind", ["ddpm", "adm", "no time", "timestep", "global", "one value a channel"]
)
def test_a_round_trip_changes_nothing(
    model: HSpaceUNet, path: Path, card: DirectionCard, kind: str
) -> None:
    direction = every_direction(model)[kind]
    save_direction(path, direction, card)
    loaded = load_direction(path, model)
    assert loaded.card == card
    assert type(loaded.direction) is type(direction)
    assert not any(p.requires_grad for p in loaded.direction.parameters())
    h, emb = noise(2, *model.h_shape, seed=3), noise(2, model.emb_channels, seed=4)
    for t in (999, 500, 100):
        assert torch.equal(loaded.direction(h, emb, t), direction(h, emb, t).detach())
    assert read_card(path) == card
    assert list(path.parent.iterdir()) == [path]


def test_the_file_may_be_read_by_others(model: HSpaceUNet, path: Path, card: DirectionCard) -> None:
    umask = os.umask(0o022)
    try:
        save_direction(path, random_f_t(model), card)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_an_attribute_takes_the_card_unless_told(
    model: HSpaceUNet, path: Path, card: DirectionCard
) -> None:
    save_direction(path, random_f_t(model), card)
    saved = load_direction(path, model)
    own, told = saved.attribute(), saved.attribute(0.0, 0, 800)
    assert (own.strength, own.t_edit, own.t_start, own.trained_steps) == (1.25, 500, 900, 30)
    assert (told.strength, told.t_edit, told.t_start, told.trained_steps) == (0.0, 0, 800, 30)


def test_what_cannot_be_saved_is_refused(path: Path, card: DirectionCard) -> None:
    with pytest.raises(AsyrpError, match="a Linear cannot be saved"):
        save_direction(path, nn.Linear(2, 2), card)
    assert not path.exists()


# other networks


def test_another_network_is_refused_unless_forced(path: Path, card: DirectionCard) -> None:
    model = tiny_model()
    direction = random_f_t(model)
    save_direction(path, direction, card)
    with torch.no_grad():
        model.unet.conv_out.bias += 1e-3
    with pytest.raises(AsyrpError, match=r"on another network .* at your own risk: --force"):
        load_direction(path, model)
    forced = load_direction(path, model, force=True)
    assert all(
        torch.equal(a, b)
        for a, b in zip(forced.direction.parameters(), direction.parameters(), strict=True)
    )


@pytest.mark.parametrize("kind", ["ddpm", "timestep", "global"])
@pytest.mark.parametrize(
    "changes",
    [
        {"block_out_channels": (8, 24), "norm_num_groups": 8},  # another width
        {"block_out_channels": (16, 16)},  # another time embedding
        {"sample_size": 32},  # another bottleneck size
    ],
)
def test_a_direction_that_does_not_fit_is_refused_even_if_forced(
    model: HSpaceUNet, path: Path, card: DirectionCard, kind: str, changes: dict[str, Any]
) -> None:
    save_direction(path, every_direction(model)[kind], card)
    other = tiny_model(**changes)
    unfit = {"ddpm": "sample_size" not in changes}.get(kind, "(16, 16)" not in str(changes))
    if unfit:
        with pytest.raises(AsyrpError, match=r"is for a bottleneck .*; this network has"):
            load_direction(path, other, force=True)
        return
    loaded, encoded = load_direction(path, other, force=True), other.encode(
        noise(1, *other.image_shape), 500
    )  # fmt: skip
    dh = loaded.direction(encoded.h, encoded.emb, 500)
    assert torch.broadcast_shapes(dh.shape, encoded.h.shape) == encoded.h.shape


def test_rounding_the_network_keeps_it_the_same_network(
    model: HSpaceUNet, path: Path, card: DirectionCard
) -> None:
    save_direction(path, random_f_t(model), card)
    rounded = tiny_unet().to(torch.bfloat16)
    low = HSpaceUNet(rounded, linear(), origin=model.fingerprint())
    assert load_direction(path, low).card == card
    with pytest.raises(AsyrpError, match="another network"):
        load_direction(path, HSpaceUNet(rounded, linear()))
