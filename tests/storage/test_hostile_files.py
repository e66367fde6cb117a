"""Files that `make faults` found a way in with; each must be refused in a line, and cheaply."""

import errno
import json
import os
import struct
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import save_file
from test_direction_damage import rewritten
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.direction_file import load_direction, read_card, save_direction
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_cache import latents_from
from asyrp.method.latent_file import Latents
from asyrp.method.schedule import from_config
from asyrp.networks.convert.convert import write_weights
from asyrp.networks.convert.hyperparameters import read_hyperparameters
from asyrp.runtime.download import Digest, fetch
from asyrp.storage.files import atomic_folder, parse_json, read_object
from asyrp.storage.images import read_image
from asyrp.storage.record_store import RecordStore, key_of
from asyrp.storage.training_state import load_state
from conftest import noise
from doubles import full_card, random_f_t
from places import results

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.safetensors"


# JSON


@pytest.mark.parametrize("text", [DEEP, '{"a": "\\ud800"}', "9" * 5000, "", "\x00"])
def test_json_that_cannot_be_used_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def test_a_settings_file_is_looked_at_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.truncate(10**9)  # takes no room on the disk
    with pytest.raises(AsyrpError, match="is not readable JSON: it has 1,000,000,000 bytes"):
        read_object(path)
    path.write_text("[1]")
    with pytest.raises(AsyrpError, match="must hold a JSON object"):
        read_object(path)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**400, "x" * 999, [[]], {}])
def test_hyper_parameters_that_are_no_numbers_are_refused(value: Any) -> None:
    with pytest.raises(AsyrpError, match="image_size = .* cannot be used") as caught:
        read_hyperparameters(
            {"image_size": value, "num_heads": 1} if value != {} else {"image_size": [1]}
        )
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "changes",
    [
        {"num_train_timesteps": 10**9},
        {"num_train_timesteps": "many"},
        {"num_train_timesteps": float("inf")},
        {"beta_schedule": ["linear"]},
        {"beta_schedule": "x" * 10_000},
        {"beta_start": None},
        {"trained_betas": "abc"},
        {"trained_betas": [[0.1], [0.2, 0.3]]},
    ],
)
def test_a_schedule_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(AsyrpError) as caught:
        from_config(changes)
    assert len(str(caught.value)) < 500


# directions, latents, stores, states


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"strength": 10**400}, "strength must be a number"),
        ({"text_cosine": "high"}, "text_cosine must be a number"),
        ({"trained_steps": 10**400}, "trained_steps must be a number"),
        ({"t_edit": 10**400}, "t_edit must be a number"),
        ({"source": "\ud800"}, "surrogates not allowed"),
    ],
)
def test_a_card_with_numbers_that_overflow_is_refused(
    model: HSpaceUNet, path: Path, changes: dict[str, Any], reason: str
) -> None:
    card = full_card(model)
    save_direction(path, random_f_t(model), card)
    rewritten(path, card=json.dumps({**card.__dict__, **changes}))
    with pytest.raises(AsyrpError, match=f"has no readable card: .*{reason}"):
        read_card(path)


@pytest.mark.parametrize("entry", ["card", "layout"])
def test_a_header_nested_too_deeply_is_refused(model: HSpaceUNet, path: Path, entry: str) -> None:
    save_direction(path, random_f_t(model), full_card(model))
    rewritten(path, **{entry: DEEP})
    with pytest.raises(AsyrpError, match="nested too deeply"):
        load_direction(path, model)


@pytest.mark.parametrize("shape", [(30_000, 0), (0, 30_000), (2**40, 0)])
def test_shapes_that_hold_nothing_take_no_memory(
    model: HSpaceUNet, path: Path, shape: tuple[int, int]
) -> None:
    """Two layers of 30,000 x 30,000 would be 7 GB."""
    save_direction(path, random_f_t(model), full_card(model))
    tensors = random_f_t(model).state_dict() | {"time_proj.weight": torch.zeros(shape)}
    rewritten(path, tensors)
    with pytest.raises(AsyrpError, match=r"is damaged: 'time_proj.weight' is float32 of shape"):
        load_direction(path, model)


@pytest.mark.parametrize(
    ("names", "errors", "x"),
    [
        ((1, "b"), (0.1, 0.2), noise(2, 3, 8, 8)),
        (("a", "b"), ("x", 0.2), noise(2, 3, 8, 8)),
        (("a", "b"), (0.1, 0.2), noise(2, 3, 8, 8).to(torch.float8_e4m3fn)),
        (("a", "b"), (0.1, 0.2), torch.zeros(2, 3, 8, 8, dtype=torch.int64)),
    ],
)
def test_latents_that_cannot_be_are_refused(names: Any, errors: Any, x: Tensor) -> None:
    with pytest.raises(AsyrpError, match="latents must be"):
        Latents(x, names, 40, "", errors)


@pytest.mark.parametrize("records", ["no json", "[]", '{"k": "d"}', DEEP, '{"zz": "d"}'])
def test_a_shard_with_other_records_than_it_says_is_refused(tmp_path: Path, records: str) -> None:
    RecordStore(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "0.safetensors", {"records": records})
    with pytest.raises(AsyrpError, match="is damaged"):
        RecordStore(tmp_path)


def test_a_record_without_tensors_is_damaged_and_one_without_x_is_no_latent(tmp_path: Path) -> None:
    key, other, third = (key_of(n) for n in range(3))
    told = json.dumps({key: "0" * 64})
    RecordStore(tmp_path)
    save_file({"y": torch.zeros(1)}, tmp_path / "0.safetensors", {"records": told})
    store = RecordStore(tmp_path)
    with pytest.raises(AsyrpError, match="is damaged"):
        store.read(key)
    store.add(other, {"y": torch.zeros(1)})
    with pytest.raises(AsyrpError, match="holds no x"):
        latents_from(store, [other])
    fourth = key_of(4)
    store.add(third, {"x": torch.zeros(1, 2, 2)})
    store.add(fourth, {"x": torch.zeros(1, 3, 3)})
    with pytest.raises(AsyrpError, match="latents of other networks"):
        latents_from(store, [third, fourth])


@pytest.mark.parametrize("key", ["optimiser.x.exp_avg", "optimiser.99.exp_avg", "optimiser.-1.a"])
def test_the_state_of_another_optimiser_is_refused(model: HSpaceUNet, path: Path, key: str) -> None:
    f_t = random_f_t(model)
    held = {f"direction.{k}": v for k, v in f_t.state_dict().items()}
    save_file(held | {key: torch.zeros(3)}, path)
    with pytest.raises(AsyrpError, match="is not a checkpoint of this run"):
        load_state(path, {"direction": f_t}, torch.optim.Adam(f_t.parameters()))


# pictures


def test_a_picture_that_would_run_a_program_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n")
    with pytest.raises(AsyrpError, match="is not a readable image"):
        read_image(path, (16, 16))


def test_any_error_of_a_decoder_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (20, 20)).save(path)
    for error in (IndexError("x"), struct.error(), KeyError(3), MemoryError(), AttributeError()):
        monkeypatch.setattr(
            Image, "open", lambda *a, error=error, **k: (_ for _ in ()).throw(error)
        )
        with pytest.raises(AsyrpError, match="is not a readable image"):
            read_image(path, (16, 16))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1", "I;16", "CMYK", "RGB"])
def test_bands_change_no_pixel(tmp_path: Path, mode: str) -> None:
    """Pictures higher than a band are what Pillow makes of them whole."""
    values = noise(700, 30, 3, seed=1).mul(60).add(128).clamp(0, 255).byte().numpy()
    picture = Image.fromarray(values)
    if mode in ("RGBA", "LA"):
        picture.putalpha(Image.fromarray(values[..., 1]))
    picture = Image.fromarray(values[..., 0].astype("uint16") * 257) if mode == "I;16" else picture
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    picture.convert(mode).save(path)
    found = read_image(path, (700, 30))
    rgba = Image.open(path).convert("RGBA") if mode != "I;16" else Image.fromarray(values[..., 0])
    rgba = rgba.convert("RGBA")
    whole = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    assert Image.fromarray(found.add(1).mul(127.5).round().byte().permute(1, 2, 0).numpy()) == whole


# downloads and disks


@pytest.mark.parametrize("error", ["IncompleteRead(5 bytes read)", "BadStatusLine", "LineTooLong"])
def test_any_broken_answer_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    import http.client

    def broken(*args: object, **more: object) -> None:
        raise http.client.HTTPException(error)

    monkeypatch.setenv("ASYRP_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", broken)
    with pytest.raises(AsyrpError, match="cannot be fetched"):
        fetch("https://localhost/a.pt", Digest("sha256", "0" * 64))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_a_full_disk_is_the_systems_error_for_converted_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / name
    write_weights(path, {"x": torch.zeros(2)})
    before = path.read_bytes()

    def full(*args: Any, **more: Any) -> None:
        if name == "a.pt":
            raise RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/0")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(torch, "save", full)
    monkeypatch.setattr("asyrp.storage.files.save_file", full)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is compared
        write_weights(path, {"x": torch.zeros(3)})
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_folder_appears_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, moved = tmp_path / "deep" / "out", list[Any]()
    monkeypatch.setattr(os, "replace", lambda *args: moved.append(args))
    with atomic_folder(out) as folder:
        (folder / "a").write_text("a")
        (folder / "b").write_text("b")
    assert not moved
    assert results(out) == ["a", "b"]
    assert out.stat().st_mode & 0o777 == (tmp_path / "deep").stat().st_mode & 0o777
