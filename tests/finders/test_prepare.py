"""What the commands and the demo share."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from asyrp.errors import AsyrpError
from asyrp.finders.clip_training import new_direction
from asyrp.finders.prepare import (
    MOST_CURVE_IMAGES,
    EditInterval,
    Pictures,
    boost_of,
    curves_of,
    make_card,
    parse_direction,
    start_training,
)  # fmt: skip
from asyrp.finders.training_goal import TrainStep
from asyrp.method.direction_file import (
    DirectionCard,
    SavedDirection,
    load_direction,
    save_direction,
)
from asyrp.method.directions import GlobalDirection, ImplicitDirection, TimestepDirection
from asyrp.method.editing import edit, invert
from asyrp.method.hspace import HSpaceUNet
from asyrp.settings import ClipSource, TrainSettings
from conftest import noise, tiny_model
from doubles import TinyDistance, tiny_guide

SETTINGS = TrainSettings(steps=8, epochs=1, batch_size=2, validate_every=1, learning_rate=0.02)
PHASES = EditInterval(800, 400, 100)


@pytest.fixture(scope="module")
def model() -> HSpaceUNet:
    """On v-prediction, which keeps x bounded in a random network."""
    return tiny_model("v_prediction")


def pictures(model: HSpaceUNet, count: int, at: int | None = None, seed: int = 0) -> Pictures:
    images = noise(count, 3, 16, 16, seed=seed).tanh()
    return Pictures(images, invert(model, images, 8, up_to=at).latents, at)


# FILE:STRENGTH


@pytest.mark.parametrize(
    ("text", "path", "strength"),
    [
        ("smile.safetensors", "smile.safetensors", 1.0),
        ("smile.safetensors:0.5", "smile.safetensors", 0.5),
        ("a/b c.safetensors:-1", "a/b c.safetensors", -1.0),
        ("a:b.safetensors:2e-1", "a:b.safetensors", 0.2),
        ("/x/smile:1.", "/x/smile", 1.0),
    ],
)
def test_a_direction_is_a_file_and_perhaps_a_strength(
    text: str, path: str, strength: float
) -> None:
    assert parse_direction(text) == (Path(path), strength)


def test_a_file_whose_name_ends_like_a_strength_is_that_file(tmp_path: Path) -> None:
    path = tmp_path / "smile:2"
    path.touch()
    assert parse_direction(str(path)) == (path, 1.0)
    assert parse_direction(f"{path}:3") == (path, 3.0)


@pytest.mark.parametrize("text", ["smile:strong", "smile:", "smile:1,5"])
def test_a_strength_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(AsyrpError, match=f"a number for STRENGTH; got '{text}'"):
        parse_direction(text)


# phases


def saved(model: HSpaceUNet, t_boost: int) -> SavedDirection:
    card = DirectionCard("face", "smile", 500, t_boost, 40, model.fingerprint())
    return SavedDirection(GlobalDirection(torch.zeros(model.h_shape)), card)


def test_boosting_begins_at_the_lowest_of_the_files_or_where_asked(model: HSpaceUNet) -> None:
    several = [saved(model, t) for t in (300, 120, 200)]
    assert boost_of(several, None) == 120
    assert boost_of(several, 50) == 50
    assert boost_of(several, 0) == 0
    assert boost_of([], None) == 0
    assert boost_of([], 400) == 400


# curves


def test_curves_are_the_distances_along_the_reconstruction(model: HSpaceUNet) -> None:
    part = pictures(model, 3)
    curves = curves_of(model, part.images, part.latents, TinyDistance(), steps=8)
    assert curves.times == (0, 142, 285, 428, 570, 713, 856, 999)
    assert curves.x0.shape == curves.xt.shape == (8, 3)
    distance = TinyDistance()
    assert curves.xt[-1] == pytest.approx(distance(part.images, part.latents).numpy(), rel=1e-5)
    plain = edit(model, part.latents, (), 8)  # the last P_t is the reconstruction
    assert curves.x0[0] == pytest.approx(distance(part.images, plain).numpy(), rel=1e-4)


@pytest.mark.parametrize("size", [1, 3, 16])
def test_curves_do_not_depend_on_the_batch_size(model: HSpaceUNet, size: int) -> None:
    part = pictures(model, 4)
    wanted = curves_of(model, part.images, part.latents, TinyDistance(), 8)
    found = curves_of(model, part.images, part.latents, TinyDistance(), 8, size)
    assert found.x0 == pytest.approx(wanted.x0, rel=1e-4)
    assert found.xt == pytest.approx(wanted.xt, rel=1e-4)


def test_curves_are_measured_on_the_first_images_only(model: HSpaceUNet) -> None:
    x = noise(MOST_CURVE_IMAGES + 3, 3, 16, 16)
    assert curves_of(model, x, x, TinyDistance(), 2).x0.shape == (2, MOST_CURVE_IMAGES)


# training


@pytest.mark.parametrize("kind", ["implicit", "timestep", "global"])
def test_training_from_pictures_makes_a_direction_that_edits(
    model: HSpaceUNet, tmp_path: Path, kind: Any
) -> None:
    settings, guide = replace(SETTINGS, kind=kind), tiny_guide()
    part, held = pictures(model, 4), pictures(model, 2, seed=1)
    job = start_training(model, guide, part, held, PHASES, settings)
    direction, done = job.direction, list(job.steps)
    assert [step.t for step in done] == [713, 570, 428, None] * 2
    card = make_card(model, ("face", "smiling face"), guide, PHASES, settings, {"images": 4})
    save_direction(tmp_path / "d.safetensors", direction, card)
    loaded = load_direction(tmp_path / "d.safetensors", model)
    plain = edit(model, part.latents, (), 8)
    edited = edit(model, part.latents, [loaded.attribute()], 8, loaded.card.t_boost)
    assert float((edited - plain).abs().mean()) > 1e-3
    kinds = {"implicit": ImplicitDirection, "timestep": TimestepDirection}
    assert isinstance(direction, kinds.get(kind, GlobalDirection))


def test_latents_from_below_t_train_the_same_direction(model: HSpaceUNet) -> None:
    """Inverting no further than t_start saves time and changes nothing but rounding."""
    settings = replace(SETTINGS, zero_init=False)  # from dh = 0 the first gradient is rounding
    images = noise(3, 3, 16, 16).tanh()
    whole = invert(model, images, 8, refinements=12)
    short = invert(model, images, 8, refinements=12, up_to=800)
    found = []
    for part in (Pictures(images, whole.latents), Pictures(images, short.latents, 800)):
        none = Pictures(images[:0], images[:0])
        job = start_training(model, tiny_guide(), part, none, PHASES, settings)
        found.append([(step.t, step.total) for step in job.steps])
    assert [t for t, _ in found[0]] == [713, 570, 428] * 2
    for (t, a), (s, b) in zip(*found, strict=True):
        assert (t, a) == (s, pytest.approx(b, rel=0.02))


def test_the_clean_source_uses_the_pictures(model: HSpaceUNet) -> None:
    part, none = pictures(model, 2), Pictures(torch.zeros(0, 3, 16, 16), torch.zeros(0, 3, 16, 16))
    firsts: dict[str, float] = {}
    sources: tuple[ClipSource, ...] = ("predicted", "clean")
    for source in sources:
        settings = replace(SETTINGS, clip_source=source)
        steps = start_training(model, tiny_guide(), part, none, PHASES, settings).steps
        firsts[source] = next(steps).directional
    assert firsts["predicted"] == pytest.approx(1.0, abs=1e-3)  # nothing has changed yet
    assert abs(firsts["clean"] - 1.0) > 1e-2  # P_t differs from the image


def test_no_timestep_in_the_interval_is_refused(model: HSpaceUNet) -> None:
    part = pictures(model, 1)
    with pytest.raises(AsyrpError, match="lies between t_start 560 and t_edit 450; raise t_start"):
        start_training(model, tiny_guide(), part, part, EditInterval(560, 450, 0), SETTINGS)


def test_training_begins_from_a_neighbour(model: HSpaceUNet) -> None:
    part, none = pictures(model, 2), pictures(model, 2)[:0]
    first = start_training(model, tiny_guide(), part, none, PHASES, SETTINGS)
    losses = [step.total for step in first.steps]
    again = start_training(
        model, tiny_guide(), part, none, PHASES, SETTINGS, neighbour=first.direction
    )
    for mine, theirs in zip(
        again.direction.parameters(), first.direction.parameters(), strict=True
    ):
        assert torch.equal(mine, theirs)
        assert mine is not theirs
    assert next(again.steps).total < losses[0]  # the edit is there already


def test_a_neighbour_of_another_kind_is_refused(model: HSpaceUNet) -> None:
    part, none = pictures(model, 2), pictures(model, 2)[:0]
    other = new_direction(model, (), replace(SETTINGS, kind="global"))
    with pytest.raises(AsyrpError, match="needed ImplicitDirection ddpm .*; got GlobalDirection"):
        start_training(model, tiny_guide(), part, none, PHASES, SETTINGS, neighbour=other)


def test_a_checkpoint_belongs_to_what_training_began_from(
    model: HSpaceUNet, tmp_path: Path
) -> None:
    part, none, path = pictures(model, 2), pictures(model, 2)[:0], tmp_path / "checkpoint"
    settings = replace(SETTINGS, zero_init=False)
    one, other = (new_direction(model, (), replace(settings, seed=s)) for s in (1, 2))

    def begun(neighbour: nn.Module) -> Iterator[TrainStep]:
        job = start_training(
            model, tiny_guide(), part, none, PHASES, settings, path, neighbour=neighbour
        )
        return job.steps

    for _ in begun(one):
        pass
    assert list(begun(one)) == []  # it has ended
    with pytest.raises(AsyrpError, match="belongs to a run with another"):
        next(begun(other))


def test_the_card_tells_how_it_was_made(model: HSpaceUNet) -> None:
    guide = tiny_guide()
    card = make_card(model, ("face", "smiling face"), guide, PHASES, SETTINGS, {"batches": 3})
    assert EditInterval(card.t_start, card.t_edit, card.t_boost) == PHASES
    assert (card.source, card.target, card.encoder) == ("face", "smiling face", "tiny")
    assert card.trained_steps == SETTINGS.steps
    assert card.fingerprint == model.fingerprint()
    assert card.text_cosine == guide.cosine
    told = {"precision": "float32", "batches": 3}
    assert card.training == {**asdict(SETTINGS), **told}


def test_rows_of_pictures_keep_the_two_together(model: HSpaceUNet) -> None:
    part = pictures(model, 4, at=500)
    some = part[1:3]
    assert (len(some), some.at) == (2, 500)
    assert torch.equal(some.images, part.images[1:3])
    assert torch.equal(some.latents, part.latents[1:3])
