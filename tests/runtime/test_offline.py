"""Offline mode: encoders, distances and pipelines without a single connection."""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch

import asyrp
from asyrp import AsyrpError
from asyrp.networks.latent_pipeline import Prompt
from asyrp.runtime.offline import hub
from asyrp.scorers.load import load_distance, load_encoder
from asyrp.scorers.segmentation import load_segmenter
from tiny_folders import save_clip, save_ldm, save_stable_diffusion

Names = ("ASYRP_OFFLINE", "HF_HUB_OFFLINE")


@pytest.fixture(autouse=True, params=Names)
def offline(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Offline by one variable, and sockets that refuse and tell."""
    touched: list[str] = []

    def refuse(*given: Any, **_: Any) -> None:
        touched.append(str(given))
        raise OSError("the network was touched")

    for name in Names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(request.param, "1")
    # what it has asked once in a process it does not ask again
    with suppress(ImportError):  # older ones ask nothing
        monkeypatch.setattr("huggingface_hub.utils._detect_agent._registry", None, raising=False)
    agents = str(tmp_path / "agents.json")
    monkeypatch.setattr(huggingface_hub.constants, "AGENT_HARNESSES_PATH", agents, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    return touched


MISSING: dict[str, Callable[[], object]] = {
    "clip": lambda: load_encoder("clip"),
    "owner/clip": lambda: load_encoder("owner/clip"),
    "lpips-alex": lambda: load_distance("lpips-alex"),
    "lpips-vgg": lambda: load_distance("lpips-vgg"),
    "owner/segmenter": lambda: load_segmenter("owner/segmenter"),
    "owner/pipeline": lambda: asyrp.load_model("owner/pipeline", prompt=Prompt("a face")),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_said_in_one_line(name: str, offline: list[str]) -> None:
    with pytest.raises(AsyrpError) as caught:
        MISSING[name]()
    assert "\n" not in str(caught.value)
    assert name.partition("/")[2] in str(caught.value)
    assert "offline" in str(caught.value)
    assert not offline


def test_folders_load(offline: list[str], tmp_path: Path) -> None:
    encoder = load_encoder(str(save_clip(tmp_path / "clip")))
    assert encoder.text_features(["a face"]).shape == (1, 12)
    ldm = asyrp.load_model(save_ldm(tmp_path / "ldm"))
    assert ldm.picture_shape == (3, 16, 16)
    stable = save_stable_diffusion(tmp_path / "stable")
    assert asyrp.load_model(stable, prompt=Prompt("a face")).image_shape == (4, 8, 8)
    assert asyrp.load_model("avatars-64").image_shape == (3, 64, 64)
    assert load_distance("st-lpips-alex").name == "st-lpips-alex"
    assert not offline


def test_the_mode_of_the_hub_ends_with_the_call(offline: list[str]) -> None:
    before = huggingface_hub.constants.HF_HUB_OFFLINE
    with hub() as local:
        assert local
        assert huggingface_hub.constants.HF_HUB_OFFLINE
    assert huggingface_hub.constants.HF_HUB_OFFLINE is before
    assert not offline


class Touch:
    """A pickle that makes a file when it is opened."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["code", "cut", "cut pickle"])
def test_damaged_and_unsafe_encoders_are_refused(kind: str, tmp_path: Path) -> None:
    folder = save_clip(tmp_path / "clip")
    weights = folder / "model.safetensors"
    if kind == "cut":
        weights.write_bytes(weights.read_bytes()[:-50])
    else:
        weights.unlink()
        torch.save({"x": Touch(tmp_path / "touched")}, folder / "pytorch_model.bin")
    if kind == "cut pickle":
        (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    with pytest.raises(
        AsyrpError, match="needed a CLIP-like encoder|asks to run posix.mkdir|is cut short"
    ) as caught:
        load_encoder(str(folder))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "touched").exists()
