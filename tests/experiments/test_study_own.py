"""Studies on networks of the user's: plain ones, and of latents, whose pictures are decoded."""

import json
from pathlib import Path

import pytest
import torch

from asyrp.cli import main
from asyrp.method.direction_file import DirectionCard, save_direction
from asyrp.method.directions import GlobalDirection
from asyrp.networks import load_model
from asyrp.storage.images import write_png
from conftest import noise
from tiny_folders import save_ldm


def faces(folder: Path, count: int, side: int) -> Path:
    folder.mkdir()
    for index in range(count):
        write_png(folder / f"{index}.png", 0.3 * noise(3, side, side, seed=index))
    return folder


def test_diagnose_on_latents(tmp_path: Path) -> None:
    network = save_ldm(tmp_path / "ldm")
    model = load_model(str(network))
    direction = GlobalDirection(noise(*model.h_shape))
    card = DirectionCard("face", "odd face", 400, 200, 4, model.fingerprint(), "none")
    save_direction(tmp_path / "odd.safetensors", direction, card)
    line = ["study", "diagnose", "--model", str(network), "--steps", "4", "--faces", "2"]
    line += ["--images", str(faces(tmp_path / "faces", 2, 16))]
    line += ["--direction", str(tmp_path / "odd.safetensors"), "--out", str(tmp_path / "out")]
    assert main(line) == 0
    found = json.loads((tmp_path / "out" / "diagnose.json").read_text())
    assert len(found["numbers"]["steps"]) == 4
    assert "Recommendation: " in found["verdict"]["text"]
    assert (tmp_path / "out" / "diagnose.png").exists()


@pytest.mark.slow
def test_theorem_1_on_latents_compares_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, seen = save_ldm(tmp_path / "ldm"), []

    class Watched:
        name = "watched"

        def __call__(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(a.shape[1:]))
            return (a - b).abs().flatten(1).mean(1)

    monkeypatch.setattr("asyrp.scorers.load.load_distance", lambda name, device: Watched())
    line = ["study", "theorem1", "--model", str(network), "--out", str(tmp_path / "out")]
    assert main(line) == 0
    assert set(seen) == {(3, 16, 16)}
    assert "De on consecutive" in (tmp_path / "out" / "theorem1.json").read_text()
