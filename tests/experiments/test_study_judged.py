"""The studies that ask a judge, on a tiny network that is not the built-in world's."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel

from asyrp.cli import main
from asyrp.commands.own_ground import Ground, warned
from asyrp.commands.study import JUDGED
from asyrp.commands.study_own import bench_of, check_lacking, checked
from asyrp.domains.lab import Lab
from asyrp.errors import AsyrpError
from asyrp.experiments.studies.common import as_saved, confidence, log_odds, pictures_of
from asyrp.method.latent_space import Pixels
from asyrp.method.protocols import Thresholds
from asyrp.options.compare import Study
from asyrp.storage.images import write_png
from conftest import noise
from tiny_folders import save_clip, save_ldm, save_stable_diffusion
from walking import parsed

SIDE, LENGTH = 24, 16  # what the built-in distance needs is 21
ASKED = {"mouth": ["sad face", "smiling face"], "hair": ["bald person", "person with blonde hair"]}
WORLDLY = ("face", "drawing", "a mouth found", "this world", "photographs")
LATE = ["--t-start", "999", "--t-edit", "400", "--t-boost", "100"]  # of 1,000 timesteps
SLOW = ("homogeneity", "intervals")
FEW = {"robustness": "16", "intervals": "16"}


def save_network(folder: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(51)
        unet = UNet2DModel(
            sample_size=SIDE,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
            norm_num_groups=4,
        )
    unet.save_pretrained(folder / "unet")
    DDPMScheduler(LENGTH).save_pretrained(folder / "scheduler")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network of few timesteps, pictures, and the questions of a judge."""
    root = tmp_path_factory.mktemp("own")
    save_network(root / "network")
    save_clip(root / "clip")
    for name, count in (("train", 5), ("test", 18)):
        (root / name).mkdir()
        for index in range(count):
            image = 0.5 * noise(3, SIDE, SIDE, seed=index).clamp(-1, 1)
            write_png(root / name / f"{index:02d}.png", image)
    for name in ("clip", "avatars-64-clip"):
        encoder = str(root / "clip") if name == "clip" else name
        (root / f"{name}.json").write_text(json.dumps({"encoder": encoder, "questions": ASKED}))
    return root


def line(root: Path, name: str, out: Path, *more: str) -> list[str]:
    words = ["study", name, "--model", str(root / "network"), "--out", str(out)]
    words += ["--images", str(root / "test"), "--train-images", str(root / "train")]
    words += ["--source", "person", "--target", "smiling person"]
    words += ["--encoder", "avatars-64-clip", "--distance", "st-lpips-alex"]
    words += ["--judge", str(root / "clip.json"), "--attribute", "mouth", "--value", "sad face"]
    words += ["--validation-faces", "2", "--train-faces", "3", "--faces", FEW.get(name, "2")]
    words += ["--steps", "3", "--train.epochs", "1", "--train.steps", "3"]
    words += ["--train.batch-size", "2", "--t-start", "15", "--t-edit", "6", "--t-boost", "2"]
    return [*words, *more]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in JUDGED]
)
def test_a_study_on_a_network_of_ones_own(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(line(place, name, tmp_path / "out")) == 0
    kept = json.loads((tmp_path / "out" / f"{name}.json").read_text())
    numbers, verdict = kept["numbers"], kept["verdict"]
    assert numbers["network"] == str(place / "network")
    assert numbers["judge"] == f"zero-shot {place / 'clip'}"
    assert numbers["questions"] == ASKED
    assert numbers["phases"] == {"t_start": 15, "t_edit": 6, "t_boost": 2}
    told = f"{verdict['claim']} {verdict['text']} {verdict['why']}"
    assert not [word for word in WORLDLY if word in told]
    assert "as the guide too" not in capsys.readouterr().err
    assert (tmp_path / "out" / f"{name}.png").stat().st_size > 5000


def test_the_bench_asks_the_judge(place: Path, tmp_path: Path) -> None:
    options: Study = parsed(line(place, "linearity", tmp_path))
    bench = bench_of(options, checked(options))
    lab, task, scene = bench.lab, bench.first.task, bench.scene()
    assert (task.name, task.value) == ("smiling person", "sad face")
    assert (len(bench.train.numbers), len(bench.test.numbers), len(scene.numbers)) == (3, 18, 2)
    assert (bench.test.steps, bench.train.steps, bench.test.at) == (3, 3, 15)
    assert bench.first.saved.card.strength > 0
    assert lab.settings.validate_every == 0
    seen = lab.judging.answers(bench.test.images)["mouth"]
    assert bench.lacking(bench.test, task) == np.flatnonzero(seen == 1).tolist()
    likely = {k: v.numpy() for k, v in lab.judging.probabilities(scene.images).items()}
    sad = likely["mouth"][:, 0]
    assert log_odds(lab, scene.images, task) == pytest.approx(np.log(sad / (1 - sad)), rel=1e-6)
    mean = np.mean([rows.max(1) for rows in likely.values()], axis=0)
    assert confidence(lab, scene.images) == pytest.approx(mean)
    ground = Ground(bench.first.phases, bench.train, bench.test, bench.test)
    with pytest.raises(AsyrpError, match="needed 19 images of --images in which the judge"):
        check_lacking(replace(options, faces=19), lab, task, ground)


class Doubled:
    """A space whose pictures are twice as bright as its x."""

    def decode(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def test_only_pixels_are_clipped_and_only_latents_decoded() -> None:
    x = torch.tensor([-3.0, 0.5]).view(2, 1, 1, 1)
    pixels, latents = (
        cast(Lab, SimpleNamespace(model=SimpleNamespace(space=space)))
        for space in (Pixels(), Doubled())
    )
    assert as_saved(pixels, x).flatten().tolist() == [-1.0, 0.5]
    assert as_saved(latents, x) is x
    assert pictures_of(pixels, x) is x
    assert pictures_of(latents, x).flatten().tolist() == [-6.0, 1.0]


def test_a_study_whose_judge_is_the_guide_is_warned(place: Path, tmp_path: Path) -> None:
    judge = str(place / "avatars-64-clip.json")
    options: Study = parsed(line(place, "layers", tmp_path, "--judge", judge))
    assert "which --encoder names as the guide too" in warned(options, checked(options))
    apart: Study = parsed(line(place, "layers", tmp_path))
    assert warned(apart, checked(apart)) == ""


NONE = ["--judge", "", "--attribute", "", "--value", ""]


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("linearity", NONE, "asks a judge; give --judge FILE.json with --attribute and --value"),
        ("linearity", ["--judge", ""], "go together; got only --attribute and --value"),
        ("linearity", ["--judge", "avatars-64"], "unknown judge 'avatars-64'; needed a FILE.json"),
        ("linearity", ["--value", "x"], "mouth has no value 'x'"),
        ("layers", ["--source", ""], "the study 'layers' on a network of your own needs --images"),
        ("layers", ["--prompt", "cat"], "needs one without captions"),
        ("robustness", ["--faces", "9"], "'robustness' needs 16 to 64 images"),
        ("consistency", ["--faces", "65"], "'consistency' needs 2 to 64 images"),
        ("consistency", ["--direction", "d"], "trains its own direction"),
        ("consistency", ["--train-faces", "1"], "--train-faces must be 2 or more"),
        ("consistency", ["--validation-faces", "1"], "--validation-faces must be 2 or more"),
        ("intervals", ["--t-edit", "16"], "t_start must be at least t_edit"),
        ("theorem1", [], "theorem1 looks at --images alone"),
        ("diagnose", ["--direction", "d"], "diagnose looks at --images alone"),
    ],
)
def test_what_cannot_be_studied_is_told_before_a_network_is_loaded(
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    more: list[str],
    message: str,
) -> None:
    def loaded(*_: Any) -> None:
        raise AssertionError("a network was loaded")

    for module in ("study", "study_own"):
        monkeypatch.setattr(f"asyrp.commands.{module}.network", loaded)
    assert main(line(place, name, tmp_path / "out", *more)) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


class Mean:
    """The mean absolute difference."""

    name, thresholds = "mean", Thresholds()

    def __call__(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).abs().flatten(1).mean(1)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(JUDGED) - {"consistency"}))  # it walks 1,000 steps
def test_a_study_on_latents(
    place: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyrp.scorers.load.load_distance", lambda name, device: Mean())
    model = save_ldm(tmp_path / "ldm")
    assert main(line(place, name, tmp_path / "out", "--model", str(model), *LATE)) == 0
    numbers = json.loads((tmp_path / "out" / f"{name}.json").read_text())["numbers"]
    assert numbers["network"] == str(model)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["robustness", "linearity", "layers"])
def test_a_study_under_a_guided_prompt(
    place: Path,
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("asyrp.scorers.load.load_distance", lambda name, device: Mean())
    model = save_stable_diffusion(tmp_path / "sd")
    more = ["--model", str(model), "--guidance", "2", *LATE]
    more += ["--prompt", "person"] if name != "layers" else []
    code = main(line(place, name, tmp_path / "out", *more))
    if name == "layers":
        assert code == 2
        assert "needs one without captions" in capsys.readouterr().err
    else:
        assert code == 0
