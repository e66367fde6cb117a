"""Direction files: what goes in comes out, and what does not fit is refused with the reason."""

import errno
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from asyrp.direction_files import DirectionCard, load_direction, read_card, save_direction
from asyrp.directions import GlobalDirection, ImplicitDirection, TimestepDirection
from asyrp.errors import AsyrpError
from asyrp.latent_files import Latents, save_latents
from asyrp.schedule import linear
from asyrp.unet import HSpaceUNet
from conftest import noise, tiny_model, tiny_unet


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "smile.safetensors"


@pytest.fixture(scope="module")
def card(model: HSpaceUNet) -> DirectionCard:
    return DirectionCard(
        source="face",
        target="smiling face — 笑",
        t_edit=500,
        t_boost=200,
        trained_steps=30,
        fingerprint=model.fingerprint(),
        encoder="tiny",
        text_cosine=0.875,
        strength=1.25,
        t_start=900,
        training={"epochs": 2, "learning_rate": 2e-3},
    )


def implicit(model: HSpaceUNet, layout: Any = "ddpm", use_time: bool = True) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return ImplicitDirection(model.h_channels, model.emb_channels, layout, False, use_time)


def directions(model: HSpaceUNet) -> dict[str, nn.Module]:
    shape = model.h_shape
    return {
        "ddpm": implicit(model),
        "adm": implicit(model, "adm"),
        "no time": implicit(model, use_time=False),
        "timestep": TimestepDirection({t: noise(*shape, seed=t) for t in (900, 60, 500)}),
        "global": GlobalDirection(noise(*shape)),
        "one value a channel": GlobalDirection(noise(shape[0], 1, 1)),
    }


def rewritten(path: Path, tensors: Mapping[str, Tensor] | None = None, **header: Any) -> None:
    """The same file with another header or other tensors."""
    with safe_open(path, "pt") as file:
        old = dict(file.metadata())
    new = {k: v for k, v in {**old, **header}.items() if v is not None}
    save_file(load_file(path) if tensors is None else dict(tensors), path, new)


# round trips


@pytest.mark.parametrize(
    "kind", ["ddpm", "adm", "no time", "timestep", "global", "one value a channel"]
)
def test_a_round_trip_changes_nothing(
    model: HSpaceUNet, path: Path, card: DirectionCard, kind: str
) -> None:
    direction = directions(model)[kind]
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
        save_direction(path, implicit(model), card)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_an_attribute_takes_the_card_unless_told(
    model: HSpaceUNet, path: Path, card: DirectionCard
) -> None:
    save_direction(path, implicit(model), card)
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
    direction = implicit(model)
    save_direction(path, direction, card)
    with torch.no_grad():
        model.unet.conv_out.bias += 1e-3
    with pytest.raises(AsyrpError, match=r"was trained on another network .* force it"):
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
    save_direction(path, directions(model)[kind], card)
    other = tiny_model(**changes)
    unfit = {"ddpm": "sample_size" not in changes}.get(kind, "(16, 16)" not in str(changes))
    if unfit:
        with pytest.raises(AsyrpError, match="is for a bottleneck .*; this network has"):
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
    save_direction(path, implicit(model), card)
    rounded = tiny_unet().to(torch.bfloat16)
    low = HSpaceUNet(rounded, linear(), origin=model.fingerprint())
    assert load_direction(path, low).card == card
    with pytest.raises(AsyrpError, match="another network"):
        load_direction(path, HSpaceUNet(rounded, linear()))


# damage


def test_a_file_cut_anywhere_is_refused(model: HSpaceUNet, path: Path, card: DirectionCard) -> None:
    save_direction(path, implicit(model), card)
    whole = path.read_bytes()
    for share in (0.0, 0.001, 0.05, 0.5, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        for read in (lambda: load_direction(path, model), lambda: read_card(path)):
            with pytest.raises(AsyrpError, match="not a safetensors file or is cut short"):
                read()


def test_files_of_other_kinds_are_refused(model: HSpaceUNet, tmp_path: Path) -> None:
    text, picture, pickle = (tmp_path / name for name in ("a.txt", "a.png", "a.pth"))
    text.write_text("smile")
    Image.new("RGB", (16, 16)).save(picture)
    torch.save({"0": torch.zeros(3)}, pickle)
    for path in (text, picture, pickle):
        with pytest.raises(AsyrpError, match="not a safetensors file"):
            load_direction(path, model)
    foreign, latents = tmp_path / "weights.safetensors", tmp_path / "latents.safetensors"
    save_file({"weight": torch.zeros(3)}, foreign)
    save_latents(latents, Latents(noise(1, 3, 8, 8), ("a",), 40, "", (0.0,)))
    for path in (foreign, latents):
        with pytest.raises(AsyrpError, match="not an asyrp direction; make one with: asyrp train"):
            load_direction(path, model)
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(AsyrpError, match="needed a direction file; .* does not exist"):
            load_direction(path, model)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"version": "2"}, "has format version 2; this asyrp reads version 1; update asyrp"),
        ({"version": None}, "has format version None"),
        ({"card": None}, "has no readable card: 'card'"),
        ({"card": "no json"}, "has no readable card"),
        ({"card": "[]"}, "has no readable card"),
        ({"card": "3"}, "has no readable card"),
        ({"card": "{}"}, "has no readable card"),
        ({"layout": None}, "is damaged: 'layout'"),
        ({"layout": "[]"}, "is damaged"),
        ({"layout": '{"kind": "spell"}'}, "is damaged: unknown kind of direction 'spell'"),
        ({"layout": '{"kind": "timestep"}'}, "is damaged"),
        ({"layout": '{"kind": "global"}'}, "is damaged: 'dh'"),
        ({"layout": '{"kind": "implicit", "layout": "x", "use_time": 1}'}, "damaged: the layout"),
    ],
)
def test_damage_to_the_header_is_named(
    model: HSpaceUNet, path: Path, card: DirectionCard, header: dict[str, Any], reason: str
) -> None:
    save_direction(path, implicit(model), card)
    rewritten(path, **header)
    with pytest.raises(AsyrpError, match=reason):
        load_direction(path, model)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["adm", "timestep", "global"])
def test_values_that_are_not_finite_are_refused(
    model: HSpaceUNet, path: Path, card: DirectionCard, kind: str, value: float
) -> None:
    save_direction(path, directions(model)[kind], card)
    tensors = load_file(path)
    tensors[min(tensors)].view(-1)[-1] = value
    rewritten(path, tensors)
    with pytest.raises(AsyrpError, match="is damaged: it holds values that are not finite"):
        load_direction(path, model)


def test_tensors_that_do_not_belong_are_refused(
    model: HSpaceUNet, path: Path, card: DirectionCard
) -> None:
    f_t = implicit(model)
    save_direction(path, f_t, card)
    tensors = load_file(path)
    lacking = {k: v for k, v in tensors.items() if k != "conv_out.bias"}
    flat = {**tensors, "time_proj.weight": torch.zeros(16)}
    wrong = {**tensors, "conv_in.weight": torch.zeros(16, 8, 1, 1)}
    for changed in (lacking, flat, wrong, {**tensors, "more": torch.zeros(1)}):
        rewritten(path, changed)
        with pytest.raises(AsyrpError, match="is damaged"):
            load_direction(path, model)
    save_direction(path, GlobalDirection(torch.zeros(())), card)
    with pytest.raises(AsyrpError, match=r"is for a bottleneck of shape \(\)"):
        load_direction(path, model)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"t_boost": 501}, "t_boost 501 > t_edit 500"),
        ({"t_start": 499}, "t_start 499 < t_edit 500"),
        ({"t_start": "999"}, "t_start must be int or null"),
        ({"t_edit": "500"}, "t_edit must be int"),
        ({"trained_steps": 0}, "trained_steps must be 1 or more"),
        ({"strength": "1"}, "strength must be a number"),
        ({"strength": float("nan")}, "strength must be a number"),
        ({"source": None}, "source must be str"),
        ({"training": []}, "training must be dict"),
    ],
)
def test_a_card_that_cannot_be_is_refused(
    model: HSpaceUNet, path: Path, card: DirectionCard, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(AsyrpError, match=reason):
        replace(card, **changes)
    save_direction(path, implicit(model), card)
    rewritten(path, card=json.dumps({**asdict(card), **changes}))
    for read in (lambda: load_direction(path, model), lambda: read_card(path)):
        with pytest.raises(AsyrpError, match=f"has no readable card: .*{reason}"):
            read()


def test_facts_that_a_later_version_adds_are_left_out(
    model: HSpaceUNet, path: Path, card: DirectionCard
) -> None:
    save_direction(path, implicit(model), card)
    rewritten(path, card=json.dumps({**asdict(card), "mood": "good"}))
    assert load_direction(path, model).card == read_card(path) == card


def test_a_full_disk_leaves_the_old_file(
    model: HSpaceUNet, path: Path, card: DirectionCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_direction(path, implicit(model), card)
    before = path.read_bytes()

    def full(tensors: Any, name: Path, header: Any) -> None:
        Path(name).write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("asyrp.files.save_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        save_direction(path, implicit(model, "adm"), card)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
