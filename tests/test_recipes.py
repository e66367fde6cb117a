"""Recipes: the paper's and the official settings, filled by one word."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asyrp.cli import parsed
from asyrp.commands.recipes import differences, followed
from asyrp.errors import AsyrpError
from asyrp.finders.clip_training import new_direction, own_layout
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.text_direction import TextDirection
from asyrp.options import Train
from asyrp.settings import TrainSettings, official, paper
from conftest import noise, tiny_model

WORDS = ["train", "--source", "face", "--target", "smiling face", "--out", "f.safetensors"]
WORDS += ["--images", "faces", "--model", "celeba-hq"]

# of the paper (sections 3.4 and 4, tables 2 and 3) and of the official code's scripts
BOTH: dict[str, Any] = {
    "kind": "implicit",
    "zero_init": False,
    "steps": 40,
    "along": "edited",
    "epochs": 1,
    "batch_size": 1,
    "optimiser": "sgd",
    "rate": 0.5,
    "decay": False,
    "lambda_recon": 3.0,
    "floor": 0.0,
    "validate_every": 0,
}
PAPER = BOTH | {"lambda_clip": 0.8, "clip_source": "predicted", "loss_form": "mean"}
OFFICIAL = BOTH | {"lambda_clip": 1.0, "clip_source": "clean", "loss_form": "log"}


def asked(*more: str) -> Train:
    options: Train = parsed([*WORDS, *more])
    return options


def guide(*asked: str, cosine: float = 0.8955) -> TextDirection:
    return TextDirection(None, noise(8), cosine, None, asked or ("face", "smiling face"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("recipe", "said"), [("paper", PAPER), ("official", OFFICIAL)])
def test_a_recipe_is_what_was_published(recipe: str, said: dict[str, Any]) -> None:
    options = asked("--recipe", recipe)
    assert {name: getattr(options.training, name) for name in said} == said
    assert (options.inverting.convention, options.inverting.refinements) == ("source", 0)
    assert options.validation == 0


@pytest.mark.parametrize("name", ["--recipe=paper", "--recipe paper"])
def test_options_beside_a_recipe_change_one_thing(name: str) -> None:
    options = asked(*name.split(), "--train.batch-size", "8", "--refinements", "1")
    assert options.training == replace(paper(), batch_size=8)
    assert options.inverting.refinements == 1
    assert asked("--train.batch-size", "4").training == TrainSettings(batch_size=4)


def test_a_recipe_that_does_not_exist_is_no_option() -> None:
    with pytest.raises(SystemExit):
        asked("--recipe", "cake")


def test_the_paper_fills_the_interval_of_its_table(model: HSpaceUNet) -> None:
    found = followed(asked("--recipe", "paper"), model, [guide()])
    assert (found.t_start, found.t_edit, found.t_boost) == (999, 513, 167)
    assert (found.strength, found.training.lambda_clip) == (1.0, 0.8)
    other = guide("Human", "Neanderthal", cosine=0.80)
    options = replace(asked("--recipe", "paper"), source="Human", target=("Neanderthal",))
    found = followed(options, model, [other])
    assert (found.t_edit, found.training.lambda_clip) == (490, 1.2)


def test_the_official_code_reads_the_released_table(model: HSpaceUNet) -> None:
    found = followed(asked("--recipe", "official"), model, [guide(cosine=0.5)])
    assert (found.t_start, found.t_edit, found.t_boost) == (999, 366, 167)
    assert found.training == official()


def test_what_was_asked_for_stays_and_nothing_is_invented(model: HSpaceUNet) -> None:
    told = ("--t-edit", "600", "--t-boost", "0", "--t-start", "900", "--strength", "2")
    found = followed(asked("--recipe", "paper", *told), model, [guide()])
    assert (found.t_start, found.t_edit, found.t_boost, found.strength) == (900, 600, 0, 2.0)
    own = replace(asked("--recipe", "paper").network, model="./mine")
    found = followed(replace(asked("--recipe", "paper"), network=own), model, [guide()])
    assert (found.t_start, found.t_edit, found.t_boost) == (999, None, None)
    assert followed(asked(), model, [guide()]) == asked()


def test_targets_of_different_settings_are_refused(model: HSpaceUNet) -> None:
    guides = [guide(), guide("face", "angry face")]
    with pytest.raises(AsyrpError, match="train them one by one"):
        followed(asked("--recipe", "paper"), model, guides)


def test_what_differs_is_told(model: HSpaceUNet) -> None:
    options = followed(asked("--recipe", "paper"), model, [guide()])
    assert differences(options, 1000, "openai/clip-vit-base-patch16") == []
    other = replace(options, strength=2.0, training=replace(options.training, batch_size=8))
    told = differences(other, 96, "tiny")
    assert told == [
        "batch_size 8 (1)",
        "96 images (1000)",
        "encoder tiny (openai/clip-vit-base-patch16)",
        "strength 2.0 (1)",
    ]


# what follows from the network


def test_the_layout_is_the_networks(model: HSpaceUNet) -> None:
    shifted = tiny_model(resnet_time_scale_shift="scale_shift")
    for one, layout in ((model, "ddpm"), (shifted, "adm")):
        assert own_layout(one) == layout
        assert new_direction(one, (), TrainSettings()).layout == layout
    assert new_direction(shifted, (), TrainSettings(layout="ddpm")).layout == "ddpm"


@pytest.mark.parametrize("kind", ["timestep", "global"])
def test_official_tables_begin_as_noise(model: HSpaceUNet, kind: Any) -> None:
    from asyrp.method.schedule import paper_grid

    made = new_direction(model, paper_grid(40), official(kind))
    values = torch.cat([p.detach().flatten() for p in made.parameters()])
    assert float(values.std()) == pytest.approx(0.2, rel=0.1)


def test_another_network_is_not_trained_with_what_knows_drawn_faces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from asyrp.cli import main
    from conftest import tiny_unet

    tiny_unet().save_pretrained(tmp_path / "net")
    words = ["train", "--source", "face", "--target", "smiling face", "--random", "2"]
    words += ["--out", str(tmp_path / "f.safetensors"), "--model", str(tmp_path / "net")]
    for more, needed in (
        ([], "needed --encoder: clip"),
        (["--encoder", "avatars-64-clip"], "--distance: lpips-alex"),
    ):
        assert main([*words, *more]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
        assert needed in line
    assert not (tmp_path / "f.safetensors").exists()
