"""Commands whose network is on a device that the pictures are not on."""

import re
import shlex
from collections import Counter
from pathlib import Path

import pytest
import torch
from transformers import CLIPTextModel, CLIPTokenizer

from app_doubles import new_studio
from asyrp.app.pictures import Picture
from asyrp.app.sessions import Session
from asyrp.cli import main
from asyrp.diffusers_pipeline import AsyrpPipeline
from asyrp.method.direction_file import DirectionCard, save_direction
from asyrp.method.directions import ImplicitDirection
from asyrp.networks import load_model
from asyrp.storage.images import write_png
from conftest import noise
from far_device import FAR, FarDevice
from tiny_folders import latent_scheduler, save_stable_diffusion, tiny_condition_unet, tiny_kl

FEW = ["--steps", "4", "--device", FAR]


def faces(folder: Path, count: int) -> str:
    folder.mkdir()
    for index in range(count):
        write_png(folder / f"{index:02d}.png", 0.3 * noise(3, 64, 64, seed=index))
    return str(folder)


@pytest.fixture
def direction(tmp_path: Path) -> str:
    model, path = load_model("avatars-64"), tmp_path / "odd.safetensors"
    card = DirectionCard("face", "odd face", 400, 200, 4, "", "none")
    save_direction(path, ImplicitDirection(model.h_channels, model.emb_channels), card)
    return str(path)


def far(*line: str) -> int:
    with FarDevice():
        return main(list(line))


SHOWN = {
    "runtime.transfer:landed",  # of a walk that a store keeps, while the next step is made
    "finders.training_run:_step",  # the numbers of an optimiser step
    "storage.images:to_uint8",  # of a picture that is written
    "storage.files:<dictcomp>",  # of a table that is written, a row a timestep
    "finders.compose:norm_share",  # what a card says of each row
}


def waits(*line: object) -> Counter[str]:
    """Where a command that ends well made the CPU wait."""
    with FarDevice() as device:
        assert main([*map(str, line), "--device", FAR]) == 0
    return device.waits


def test_the_double_refuses_what_a_gpu_refuses() -> None:
    near, away = torch.ones(2, 3), torch.ones(2, 3, device=FAR)
    row = torch.tensor([1])
    with FarDevice():
        for mixed in (
            lambda: near + away,
            lambda: near @ away.T,
            lambda: torch.cat([near, away]),
            lambda: near[row.to(FAR)],
        ):
            with pytest.raises(RuntimeError, match="mixes"):
                mixed()
        with pytest.raises((RuntimeError, TypeError, NotImplementedError)):
            away.numpy()
        assert (away[row] * 2.0).is_meta
        assert away.cpu().shape == near.shape
        assert not away.to("cpu", torch.float64).is_meta
        assert away.to(near).device == near.device
        assert near.to(away).is_meta
        assert isinstance(away.sum().item(), float)


TEXTS = "--source face --target 'smiling face'"
WHEN = "--t-start 999 --t-edit 300 --t-boost 200"
TRAIN = f"train --images IN {TEXTS} {WHEN} --strength 1 --train.epochs 1 --train.validate-every 0"
TRAIN += " --train.steps STEPS --out OUT.safetensors"
FIND = f"find --images IN --steps STEPS {WHEN} --names NAMES --out OUT --by"
EDIT = "edit --images IN --steps STEPS --direction DIRECTION --out OUT"
COMMANDS = {
    "invert": "invert --images IN --steps STEPS --out OUT",
    "invert into a store": "invert --images IN --steps STEPS --out OUT --store OUT.store",
    "invert exactly": "invert --images IN --steps STEPS --out OUT --inversion edict",
    "edit": EDIT,
    "edit exactly": f"{EDIT} --inversion ddpm",
    "edit with strengths from a store": f"{EDIT} --strengths 0 1 --store OUT.store",
    "edit by second order": f"{EDIT} --solver second-order",
    "sample": "sample --count 3 --steps STEPS --direction DIRECTION --out OUT",
    "train": TRAIN,
    "train along noised images": f"{TRAIN} --train.along noised",
    "train from a store": f"{TRAIN} --store OUT.store",
    "find by pca": f"{FIND} pca --components 1",
    "find by pairs": f"{FIND} pairs --after IN",
    "find by clip": f"{FIND} clip {TEXTS} --train.epochs 1 --train.validate-every 0",
    "find by composing": f"{FIND} compose --directions DIRECTION",
}


def words(name: str, root: Path, direction: str, steps: int) -> list[str]:
    """A command on a grid of some steps."""
    given = {"DIRECTION": direction, "STEPS": str(steps), "OUT": str(root / f"out{steps}")}
    given |= {"IN": str(root / "in"), "NAMES": str(root / "names.txt")}
    line = COMMANDS[name]
    for word, value in given.items():
        line = re.sub(rf"\b{word}\b", value, line)
    return shlex.split(line)


SHOWS = ("commands.find", "commands.find_data")  # what draws sheets, on a grid of its own


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_waits_for_no_step(
    tmp_path: Path, direction: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces(tmp_path / "in", 3)
    (tmp_path / "names.txt").write_text("smiling face\nsad face\n")
    counted = []
    for steps in (4, 8):
        for module in SHOWS:
            monkeypatch.setattr(f"asyrp.{module}.EDIT_STEPS", steps)
        counted.append(waits(*words(name, tmp_path, direction, steps)))
    few, more = counted
    assert {place for place in more - few if more[place] > few[place]} <= SHOWN
    assert list(tmp_path.rglob("*.png")) or list(tmp_path.rglob("*.safetensors"))


def test_a_direction_is_diagnosed(tmp_path: Path, direction: str) -> None:
    images = faces(tmp_path / "in", 2)
    line = ["study", "diagnose", "--images", images, "--direction", direction, "--faces", "2"]
    assert far(*line, "--out", str(tmp_path / "out"), *FEW) == 0


OWN = """
[model]
name = "avatars-64"
[guides]
encoder = "avatars-64-clip"
distance = "st-lpips-alex"
[images]
train = "train"
test = "test"
[judge]
encoder = "avatars-64-clip"
[judge.questions]
mouth = ["sad face", "smiling face"]
hair = ["bald person", "blonde person"]
[[tasks]]
name = "smiling"
source = "face"
target = "smiling face"
attribute = "mouth"
value = "smiling face"
t_start = 450
t_edit = 300
t_boost = 100
"""


def test_methods_are_compared(tmp_path: Path) -> None:
    faces(tmp_path / "test", 16)
    faces(tmp_path / "train", 12)
    (tmp_path / "own.toml").write_text(OWN)
    line = f"compare --domain {tmp_path}/own.toml --device {FAR} --methods mean --workers 1"
    line += " --validation-faces 2 --test-faces 16 --steps 4 --train.steps 4 --train.epochs 1"
    assert far(*line.split(), "--out", str(tmp_path / "out")) == 0


def test_edits_are_measured(tmp_path: Path) -> None:
    line = ["evaluate", "--images", faces(tmp_path / "in", 16)]
    line += ["--edits", faces(tmp_path / "edits", 16), "--features", "encoder"]
    line += ["--source", "face", "--target", "smiling face"]
    assert far(*line, "--device", FAR, "--out", str(tmp_path / "out")) == 0


def test_phases_are_found_in_few_reads(tmp_path: Path) -> None:
    faces(tmp_path / "in", 3)
    line: list[object] = ["intervals", "--images", tmp_path / "in", "--source", "face"]
    line += ["--target", "smiling face", "--threshold-edit", 0.001, "--threshold-boost", 0.001]
    line += ["--threshold-start", 9]
    counted = [
        waits(*line, "--steps", steps, "--out", tmp_path / f"out{steps}") for steps in (6, 12)
    ]
    assert not counted[1] - counted[0]


# the pipeline and the page


def test_a_pipeline_edits_there(tmp_path: Path) -> None:
    save_stable_diffusion(tmp_path)
    pipe = AsyrpPipeline(
        unet=tiny_condition_unet(),
        scheduler=latent_scheduler(),
        vae=tiny_kl(),
        text_encoder=CLIPTextModel.from_pretrained(tmp_path / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(tmp_path / "tokenizer"),
    ).to(FAR)
    pipe.set_progress_bar_config(disable=True)
    picture, counted = noise(1, 3, 16, 16).tanh() / 2 + 0.5, []
    for steps in (4, 8):
        with FarDevice() as device:
            how = {"num_inference_steps": steps, "output_type": "latent"}
            found = pipe(picture, "a face", guidance_scale=3.0, **how).images
        assert found.is_meta
        counted.append(device.waits)
    assert not counted[1] - counted[0]


def test_a_page_walks_there(tmp_path: Path) -> None:
    studio = new_studio(tmp_path)
    studio.model.to(FAR)
    picture = Picture("a face", 0.3 * noise(*studio.model.image_shape), {"kind": "upload"})
    session = Session()
    with FarDevice():
        steps = list(studio.open(session, picture))
    assert len(steps) >= len(studio.grid)
    assert session.work is not None
