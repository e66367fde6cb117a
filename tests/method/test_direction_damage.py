"""Direction files that are damaged, foreign or cannot be written."""

import errno
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.direction_file import DirectionCard, load_direction, read_card, save_direction
from asyrp.method.directions import GlobalDirection
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_file import Latents, save_latents
from conftest import noise
from doubles import every_direction, full_card, random_f_t


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "smile.safetensors"


@pytest.fixture(scope="module")
def card(model: HSpaceUNet) -> DirectionCard:
    return full_card(model)


def rewritten(path: Path, tensors: Mapping[str, Tensor] | None = None, **header: Any) -> None:
    """The same file with another header or other tensors."""
    with safe_open(path, "pt") as file:
        old = dict(file.metadata())
    new = {k: v for k, v in {**old, **header}.items() if v is not None}
    save_file(load_file(path) if tensors is None else dict(tensors), path, new)


def test_a_file_cut_anywhere_is_refused(model: HSpaceUNet, path: Path, card: DirectionCard) -> None:
    save_direction(path, random_f_t(model), card)
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
        with pytest.raises(AsyrpError, match=r"needed a direction file; .* does not exist"):
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
    save_direction(path, random_f_t(model), card)
    rewritten(path, **header)
    with pytest.raises(AsyrpError, match=reason):
        load_direction(path, model)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["adm", "timestep", "global"])
def test_values_that_are_not_finite_are_refused(
    model: HSpaceUNet, path: Path, card: DirectionCard, kind: str, value: float
) -> None:
    save_direction(path, every_direction(model)[kind], card)
    tensors = load_file(path)
    tensors[min(tensors)].view(-1)[-1] = value
    rewritten(path, tensors)
    with pytest.raises(AsyrpError, match="is damaged: .* holds values that are not finite"):
        load_direction(path, model)


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64, torch.float8_e4m3fn, torch.bool])
def test_numbers_of_another_kind_are_refused(
    model: HSpaceUNet, path: Path, card: DirectionCard, dtype: torch.dtype
) -> None:
    save_direction(path, every_direction(model)["global"], card)
    rewritten(path, {"dh": load_file(path)["dh"].to(dtype)})
    with pytest.raises(AsyrpError, match="is damaged: 'dh' is .* needed: weights in float16"):
        load_direction(path, model)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("global", "more"), ("timestep", "-5"), ("timestep", "03"), ("timestep", "٣")],
)
def test_tensors_of_other_names_are_refused(
    model: HSpaceUNet, path: Path, card: DirectionCard, kind: str, name: str
) -> None:
    save_direction(path, every_direction(model)[kind], card)
    tensors = load_file(path)
    rewritten(path, {**tensors, name: next(iter(tensors.values())).clone()})
    with pytest.raises(AsyrpError, match="is damaged: .* is no (part of it|timestep)"):
        load_direction(path, model)


@pytest.mark.parametrize(("field", "value"), [("strength", None), ("t_edit", True)])
def test_a_card_without_its_numbers_is_refused(
    model: HSpaceUNet, path: Path, card: DirectionCard, field: str, value: object
) -> None:
    save_direction(path, random_f_t(model), card)
    rewritten(path, card=json.dumps({**asdict(card), field: value}))
    with pytest.raises(AsyrpError, match=f"no readable card: a direction's {field} must be"):
        load_direction(path, model)


def test_tensors_that_do_not_belong_are_refused(
    model: HSpaceUNet, path: Path, card: DirectionCard
) -> None:
    f_t = random_f_t(model)
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
    save_direction(path, random_f_t(model), card)
    rewritten(path, card=json.dumps({**asdict(card), **changes}))
    for read in (lambda: load_direction(path, model), lambda: read_card(path)):
        with pytest.raises(AsyrpError, match=f"has no readable card: .*{reason}"):
            read()


def test_facts_that_a_later_version_adds_are_named_and_left_out(
    model: HSpaceUNet, path: Path, card: DirectionCard
) -> None:
    save_direction(path, random_f_t(model), card)
    rewritten(path, card=json.dumps({**asdict(card), "mood": "good"}))
    for read in (read_card, lambda path: load_direction(path, model).card):
        with pytest.warns(UserWarning, match="passed over in .*: mood = 'good'; this asyrp's"):
            assert read(path) == card


def test_a_full_disk_leaves_the_old_file(
    model: HSpaceUNet, path: Path, card: DirectionCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_direction(path, random_f_t(model), card)
    before = path.read_bytes()

    def full(tensors: Any, name: Path, header: Any) -> None:
        Path(name).write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("asyrp.storage.files.save_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        save_direction(path, random_f_t(model, "adm"), card)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
