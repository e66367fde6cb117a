"""Latent files: what goes in comes out, and what is none is refused."""

import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from asyrp.errors import AsyrpError
from asyrp.method.latent_file import Latents, load_latents, save_latents
from conftest import noise

LATENTS = Latents(noise(2, 3, 8, 8), ("a.png", "ü b.jpg"), 40, "f" * 64, (0.25, 1e-9))
HEADER = {
    "format": "asyrp-latents",
    "version": "1",
    "names": '["a.png", "b.png"]',
    "steps": "40",
    "fingerprint": "f" * 64,
    "errors": "[0.1, 0.2]",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "latents.safetensors"


def write(path: Path, x: Any = None, **changes: str | None) -> None:
    header = {k: v for k, v in {**HEADER, **changes}.items() if v is not None}
    save_file({"x": noise(2, 3, 8, 8) if x is None else x}, path, header)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_round_trip_changes_nothing(path: Path, dtype: torch.dtype) -> None:
    channels_last = LATENTS.x.to(dtype, memory_format=torch.channels_last)
    save_latents(path, replace(LATENTS, x=channels_last))
    loaded = load_latents(path)
    assert torch.equal(loaded.x, LATENTS.x.to(dtype))
    assert loaded.x.dtype == dtype
    assert replace(loaded, x=LATENTS.x) == LATENTS
    assert list(path.parent.iterdir()) == [path]


def test_the_file_written_by_hand_is_read(path: Path) -> None:
    write(path)
    assert load_latents(path).names == ("a.png", "b.png")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": "asyrp-direction"}, "not an asyrp latent; make one with: asyrp invert"),
        ({"format": None}, "not an asyrp latent; make one with: asyrp invert"),
        ({"version": "2"}, "has format version 2; this asyrp reads version 1; update asyrp"),
        ({"version": None}, "has format version None"),
        ({"names": None}, "is damaged: 'names'"),
        ({"names": "a.png"}, "is damaged"),
        ({"names": "3"}, "is damaged"),
        ({"names": '["a.png"]'}, "is damaged: latents need a name .* 1 names and 2 errors"),
        ({"errors": "[]"}, "is damaged: latents need"),
        ({"steps": "forty"}, "is damaged"),
        ({"fingerprint": None}, "is damaged: 'fingerprint'"),
    ],
)
def test_damage_is_named(path: Path, changes: dict[str, Any], reason: str) -> None:
    write(path, **changes)
    with pytest.raises(AsyrpError, match=reason):
        load_latents(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(path: Path, value: float) -> None:
    x = noise(2, 3, 8, 8)
    x[1, 2, 3, 4] = value
    write(path, x)
    with pytest.raises(AsyrpError, match="is damaged: latents must be finite"):
        load_latents(path)


def test_tensors_of_another_kind_are_refused(path: Path) -> None:
    write(path, noise(2, 3, 8))
    with pytest.raises(AsyrpError, match=r"is damaged: latents need .* got \(2, 3, 8\)"):
        load_latents(path)
    save_file({"y": noise(2, 3, 8, 8)}, path, HEADER)
    with pytest.raises(AsyrpError, match="is damaged: 'x'"):
        load_latents(path)


def test_a_file_cut_anywhere_is_refused(path: Path) -> None:
    write(path)
    whole = path.read_bytes()
    for share in (0.0, 0.001, 0.05, 0.5, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(AsyrpError, match=r"is not a safetensors file or is cut short"):
            load_latents(path)


def test_no_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(AsyrpError, match=r"needed a latent file; .* does not exist"):
            load_latents(path)


def test_a_full_disk_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_latents(path, LATENTS)
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("asyrp.storage.files.save_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        save_latents(path, replace(LATENTS, steps=50))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_header_is_plain_json(path: Path) -> None:
    save_latents(path, LATENTS)
    size = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]
    assert json.loads(header["names"]) == list(LATENTS.names)
    assert header["version"] == "1"
