"""The bench of a GPU: every part on tiny networks of the CPU, and what it says without a GPU."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import gpu
from bench.gpu_page import compiled, page
from bench.gpu_subjects import SIZES, TINY, adm_256, made, stable_diffusion


def test_without_a_gpu_it_ends_well_and_says_what_it_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "missing_device", lambda name: f"no {name} on this machine")
    assert gpu.main(["--docs", str(tmp_path), "--keep", str(tmp_path / "keep")]) == 0
    told = capsys.readouterr().err
    text = (tmp_path / "performance-gpu.md").read_text()
    left = json.loads((tmp_path / "keep" / "gpu.json").read_text())["left"]
    assert {name.rpartition("-")[0] for name in left if "-" in name} == set(SIZES)
    for name in left:
        assert name in told
        assert f"- {name}: no cuda on this machine" in text


def test_a_device_that_is_here_is_not_missing() -> None:
    assert gpu.missing_device("cpu") == ""
    assert "no cuda:99" in gpu.missing_device("cuda:99")


def test_every_part_runs_and_a_stopped_run_goes_on(tmp_path: Path) -> None:
    line = ["--device", "cpu", "--quick", "--docs", str(tmp_path), "--keep", str(tmp_path / "k")]
    assert gpu.main([*line, "--minutes", "0"]) == 0
    whole = tmp_path / "k" / "gpu.json"
    assert list(json.loads(whole.read_text())["parts"]) == ["machine"]
    assert "## Not measured" in (tmp_path / "performance-gpu.md").read_text()
    assert gpu.main(line) == 0
    parts = json.loads(whole.read_text())["parts"]
    assert set(parts) == {"machine", "compiled"} | {
        f"{name}-{precision}" for name in TINY for precision in gpu.PRECISIONS
    }
    for name in TINY:
        exact, low = (parts[f"{name}-{kind}"]["works"] for kind in ("float32", "bfloat16"))
        assert set(exact) == {"inversion", "editing", "training"}
        for work, one in exact.items():
            assert one["flops"] == pytest.approx(low[work]["flops"], rel=0.01)
            assert one["share"] > 0
    text = (tmp_path / "performance-gpu.md").read_text()
    assert "## Not measured" not in text
    assert "| sd-tiny | bfloat16 | training |" in text


def test_the_networks_have_the_sizes_of_those_that_people_use() -> None:
    with torch.device("meta"):
        unet, _ = adm_256()
    assert sum(p.numel() for p in unet.parameters()) == 552_814_086  # guided-diffusion's README
    with torch.device("meta"):
        prompted, space = stable_diffusion()
    assert sum(p.numel() for p in prompted.network.parameters()) == 859_520_964  # of SD 1.5
    assert sum(p.numel() for p in space.coder.parameters()) == 83_653_863


def test_compiling_is_told_to_be_worth_it_from_a_bound_on() -> None:
    told: dict[str, Any] = {"plain": 1.2, "compiled": 1.0, "ratio": 1.2}
    assert "which is worth it" in compiled(told)
    assert "not worth it" in compiled({**told, "ratio": 1.1})
    assert "did not compile" in compiled({"plain": 1.0, "left": "did not compile: no compiler"})
    assert page({}, {"machine": "no GPU"}, SIZES, "make gpu").endswith("- machine: no GPU\n")


def test_a_network_of_latents_is_made_for_a_device() -> None:
    model = made(TINY["sd-tiny"], "bfloat16", "cpu")
    assert model.image_shape == (4, 8, 8)
    assert model.picture_shape == (3, 64, 64)
    assert model.dtype == torch.bfloat16
