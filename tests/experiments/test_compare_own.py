"""Compare on networks of the user's: tiny ones, plain, class-conditional and with captions."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from test_zero_shot import judging, plain

from asyrp.cli import main
from asyrp.commands.compare_own import Arena, rank
from asyrp.domains.scenes import Scene
from asyrp.editing_methods.label_swap import swap_condition
from asyrp.editing_methods.other_spaces import with_label
from asyrp.editing_methods.trained import Job, Prepared
from asyrp.errors import AsyrpError
from asyrp.method.cost import Cost
from asyrp.method.ddim import generate, invert_steps
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_space import Pixels
from asyrp.method.protocols import Thresholds
from asyrp.method.schedule import linear, paper_grid
from asyrp.metrics.table import Scorers, Wish
from asyrp.storage.images import write_png
from conftest import noise, tiny_model
from tiny_folders import save_clip, save_stable_diffusion

ASKED = {
    "questions": {
        "mouth": ["sad face", "smiling face"],
        "hair": ["bald person", "person with blonde hair"],
    }
}
SIDE = 24  # what the built-in distance needs is 21


class Mean:
    """The mean absolute difference."""

    name, thresholds = "mean", Thresholds()

    def __call__(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).abs().flatten(1).mean(1)


def tiny_unet(classes: int | None) -> UNet2DModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(51)
        return UNet2DModel(
            sample_size=SIDE,
            in_channels=3,
            out_channels=3,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
            norm_num_groups=4,
            num_class_embeds=classes,
        )


def save_network(folder: Path, classes: int | None) -> Path:
    tiny_unet(classes).save_pretrained(folder / "unet")
    DDPMScheduler().save_pretrained(folder / "scheduler")
    index = {"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def command(root: Path, model: Path, *more: str) -> list[str]:
    clip = save_clip(root / "clip")
    for name, count in (("train", 5), ("test", 16)):
        (root / name).mkdir()
        for index in range(count):
            write_png(root / name / f"{index:02d}.png", noise(3, SIDE, SIDE, seed=index))
    line = ["compare", "--model", str(model), "--images", str(root / "test")]
    line += ["--train-images", str(root / "train"), "--source", "face", "--target", "smiling face"]
    line += [
        "--encoder",
        str(clip),
        "--distance",
        "st-lpips-alex",
        "--validation-faces",
        "2",
        "--train.epochs",
        "1",
    ]
    line += ["--train.steps", "4", "--train.batch-size", "2", "--batch-size", "16"]
    line += ["--t-start", "999", "--t-edit", "400", "--t-boost", "100"]
    return [*line, *more]


@torch.no_grad()
def test_a_fixed_label_is_the_network_under_it() -> None:
    model = HSpaceUNet(tiny_unet(3), linear())
    fixed, x = with_label(model, 2), noise(2, 3, SIDE, SIDE)
    labels = torch.full((2,), 2)
    assert torch.equal(fixed(x, 300), model(x, 300, labels))
    assert torch.equal(fixed.decode(fixed.encode(x, 300)), model(x, 300, labels))
    assert fixed.h_shape == model.h_shape
    first = with_label(model, 0)
    *_, ours = swap_condition(first, fixed, x, paper_grid(4))
    *_, top = invert_steps(
        lambda x, t: model(x, t, 0 * labels), model.schedule, x, paper_grid(4), "source", 1
    )
    under = generate(lambda x, t: model(x, t, labels), model.schedule, top.x, paper_grid(4))
    assert torch.equal(ours.x, list(under)[-1].x)
    with pytest.raises(AsyrpError, match="takes no class"):
        with_label(tiny_model(), 0)
    with pytest.raises(AsyrpError, match=r"0\.\.2"):
        with_label(model, 3)


def test_labels_are_swapped_on_a_class_conditional_network(tmp_path: Path) -> None:
    model = save_network(tmp_path / "network", 3)
    line = command(tmp_path, model, "--labels", "0", "2", "--methods", "swap")
    assert main([*line, "--out", str(tmp_path / "out")]) == 0
    kept = json.loads((tmp_path / "out" / "table.json").read_text())
    assert {"s_dir", "lpips", "fid", "kid", "diversity"} <= set(kept["swap"]["table"])
    assert kept["swap"]["bytes stored"] == 0
    page = (tmp_path / "out" / "table.md").read_text()
    assert "DDIM, condition swapped" in page
    assert f"FID and KID compare features of {tmp_path / 'clip'}, the guide that" in page
    assert (tmp_path / "out" / "edits.png").stat().st_size > 5000


def test_a_judge_adds_success_leakage_and_clean_edits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = str(tmp_path / "clip")
    (tmp_path / "judge.json").write_text(json.dumps({"encoder": clip, **ASKED}))
    judge = ["--judge", str(tmp_path / "judge.json"), "--attribute", "mouth"]
    judge += ["--encoder", "avatars-64-clip"]
    model = save_network(tmp_path / "network", 3)
    line = command(tmp_path, model, "--labels", "0", "2", "--methods", "swap", *judge)
    assert main([*line, "--value", "smiling face", "--out", str(tmp_path / "out")]) == 0
    table = json.loads((tmp_path / "out" / "table.json").read_text())["swap"]["table"]
    assert {"success", "success_before", "leakage", "leakage_reconstruction", "clean"} <= set(table)
    assert 0 <= table["clean"]["value"] <= table["success"]["value"] <= 1
    page = (tmp_path / "out" / "table.md").read_text()
    assert "the most clean edits, then the most successes" in page
    assert f"Judge of mouth = 'smiling face': zero-shot, encoder {clip}," in page
    assert "as the guide too" not in capsys.readouterr().err


def test_with_a_judge_the_cleanest_setting_wins() -> None:
    before = plain((0.5, -0.9, -0.9), (0.4, -0.9, -0.9))
    edits = {
        0.0: before,  # still dark
        1.0: plain((0.5, 0.9, 0.6), (0.5, 0.9, 0.6)),  # bright, but green instead of red
        2.0: plain((0.9, 0.6, 0.6), (0.9, 0.6, 0.6)),
    }
    scene = Scene("validation", (0, 1), 0, 3, before, before, before)
    model = SimpleNamespace(space=Pixels())
    job = cast(Job, SimpleNamespace(lab=SimpleNamespace(model=model)))
    tools = Scorers(distance=Mean(), judging=judging())
    arena = Arena(job, scene, scene, tools, None, Wish("light", "bright"))
    ready = Prepared(lambda _, setting: edits[setting["s"]], (), 0, Cost())
    ranks = [rank(arena, ready, {"s": s}) for s in edits]
    assert ranks == sorted(ranks)
    assert [row[:2] for row in ranks] == [(0, 0), (0, 1), (1, 1)]


@pytest.mark.slow
def test_a_class_conditional_network_is_compared_twice_alike(tmp_path: Path) -> None:
    model = save_network(tmp_path / "network", 3)
    line = command(tmp_path, model, "--labels", "0", "2", "--methods", "asyrp", "swap")
    kept = []
    for name in ("a", "b"):
        assert main([*line, "--out", str(tmp_path / name)]) == 0
        kept.append(json.loads((tmp_path / name / "table.json").read_text()))
    for found in kept:
        for row in found.values():
            del row["seconds to train"], row["seconds an edit"]
    assert kept[0] == kept[1]
    assert set(kept[0]) == {"asyrp", "swap"}


@pytest.mark.slow
def test_every_method_on_a_plain_network(tmp_path: Path) -> None:
    line = command(tmp_path, save_network(tmp_path / "network", None))
    assert main([*line, "--out", str(tmp_path / "out")]) == 0
    kept = json.loads((tmp_path / "out" / "table.json").read_text())
    wanted = {"asyrp", "mean", "global", "symmetric", "epsilon", "diffusionclip"}
    assert set(kept) == wanted
    network = sum(p.numel() for p in tiny_unet(None).parameters())
    assert kept["diffusionclip"]["bytes stored"] == 2 * network
    assert all(np.isfinite(row["table"]["s_dir"]["value"]) for row in kept.values())


@pytest.mark.slow
def test_captions_are_swapped_on_a_text_to_image_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(name: str, device: object = "cpu") -> Mean:  # the pictures are 16 x 16
        return Mean()

    monkeypatch.setattr("asyrp.scorers.load.load_distance", loaded)
    monkeypatch.setattr("asyrp.commands.compare_own.load_distance", loaded)
    model = save_stable_diffusion(tmp_path / "network")
    line = command(tmp_path, model, "--prompt", "face", "--target-prompt", "smiling face")
    assert main([*line, "--methods", "asyrp", "swap", "--out", str(tmp_path / "out")]) == 0
    kept = json.loads((tmp_path / "out" / "table.json").read_text())
    assert set(kept) == {"asyrp", "swap"}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--methods", "sdedit"], "'sdedit' cannot be compared on a network of your own"),
        (["--methods", "swap"], "swap needs --labels"),
        (["--tasks", "smiling"], "--tasks are the built-in world's"),
        (["--source", ""], "needs --images, --train-images, --source and --target"),
        (["--validation-faces", "4"], "at least 2 images to train on"),
        (["--labels", "0", "1"], "takes no class"),
        (["--t-edit", "1000"], "t_start must be at least t_edit"),
        (["--judge", "none.json"], "go together; got only --judge"),
        (["--attribute", "a", "--value", "b"], "got only --attribute and --value"),
        (["--judge", "x", "--attribute", "a", "--value", "b"], "unknown judge 'x'; needed a FILE"),
    ],
)
def test_what_cannot_be_compared_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: list[str], message: str
) -> None:
    line = command(tmp_path, save_network(tmp_path / "network", None), *extra)
    assert main([*line, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_too_few_images_for_fid_are_refused_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = command(tmp_path, tmp_path / "no network is looked at")
    (tmp_path / "test" / "00.png").unlink()
    assert main([*line, "--out", str(tmp_path / "out")]) == 2
    assert "FID needs at least 16 images to test on" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
