"""Finders that train, against the truth of an analytic network: pairs, clip, amortised."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from asyrp.errors import AsyrpError
from asyrp.finders.amortised import new_amortised, read_text_pairs
from asyrp.finders.base import FinderData, last_of
from asyrp.finders.bottlenecks import unedited_steps
from asyrp.finders.catalogue import Amortised, Clip, Fitting, Pairs
from asyrp.finders.fitting import batches_of
from asyrp.method.editing import latents_of
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.unedited_trajectory import editing_window
from asyrp.settings import TrainSettings
from conftest import noise
from planted import PLANTED, SPREADS, FactorEncoder, planted

NETWORK, MODEL = planted()
STEPS = 20
WINDOW = editing_window(850, 500, STEPS, t_top=850)
ENCODER = FactorEncoder(NETWORK)


def latents(z: Tensor) -> Tensor:
    return latents_of(MODEL, NETWORK.images_of(z), STEPS, refinements=1, up_to=850)


def cosine(direction: nn.Module, x: Tensor, truth: Tensor) -> float:
    """The least cosine of the mean dh to the truth over the timesteps of the walk."""
    found = []
    for step in unedited_steps(MODEL, x, WINDOW):
        dh = direction(step.encoded.h, step.encoded.emb, step.t).expand_as(step.encoded.h).mean(0)
        found.append(functional.cosine_similarity(dh.flatten(), truth.flatten(), dim=0))
    return min(map(float, found))


@pytest.fixture(scope="module")
def z() -> Tensor:
    return noise(24, len(SPREADS), seed=7)


@pytest.fixture(scope="module")
def data(z: Tensor) -> FinderData:
    after = z + functional.one_hot(torch.tensor(PLANTED), len(SPREADS)) * 1.5
    images = NETWORK.images_of(z)
    return FinderData(latents(z), WINDOW, images, after=latents(after), encoder=ENCODER)


def test_the_mean_difference_of_pairs_is_the_planted_factor(data: FinderData) -> None:
    (found,) = last_of(Pairs(Path(), "mean").find(MODEL, data))
    assert cosine(found.direction, data.latents, NETWORK.truth()) >= 0.99
    assert found.explains["pairs"] == 24
    assert min(found.explains["alike"].values()) > 0.99


def test_pairs_that_differ_in_nothing_common_are_told(data: FinderData, z: Tensor) -> None:
    other = FinderData(data.latents, WINDOW, after=latents(noise(*z.shape, seed=50)))
    (found,) = last_of(Pairs(Path(), "mean").find(MODEL, other))
    assert max(found.explains["alike"].values()) < 0.3


def test_an_f_t_between_pairs_is_the_planted_factor(data: FinderData) -> None:
    (found,) = last_of(Pairs(Path(), "f_t", Fitting(10, 8, 0.02)).find(MODEL, data))
    assert cosine(found.direction, data.latents, NETWORK.truth()) >= 0.9
    assert found.explains["loss"] < 0.2 * found.explains["loss_without"]


def test_pairs_need_an_image_after_each(data: FinderData) -> None:
    with pytest.raises(AsyrpError, match="an image after each of 24; got 3"):
        last_of(Pairs(Path()).find(MODEL, FinderData(data.latents, WINDOW, after=data.latents[:3])))


@pytest.mark.parametrize("kind", ["implicit", "timestep", "global"])
def test_clip_finds_the_planted_factor(data: FinderData, kind: Any) -> None:
    how = {"optimiser": "sgd", "learning_rate": 0.5, "lambda_recon": 0.0, "patience": 100}
    training = TrainSettings(kind, epochs=6, validate_every=3, **how)  # type: ignore[arg-type]
    (found,) = last_of(Clip("face", "face +0", training).find(MODEL, data))
    assert cosine(found.direction, data.latents, NETWORK.truth()) >= 0.9
    assert found.explains["validation_loss"] < 0.4
    assert (found.encoder, found.texts) == ("factors", ("face", "face +0"))


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.csv"
    others = ["+1", "-1", "+2", "-2", "+0 +1", "+0 -1", "+0 +2", "-0 -2", "-0 +1"]
    path.write_text("source,target\n" + "".join(f"face,face {one}\n" for one in others))
    return path


def test_amortised_answers_a_text_that_it_never_saw(data: FinderData, texts: Path) -> None:
    asked = ("face:face +0", "face:face +1", "face:face -0")
    finder = Amortised(texts, asked, Fitting(40, 8, 0.01))
    held_out, seen, backwards = last_of(finder.find(MODEL, data))
    assert cosine(held_out.direction, data.latents, NETWORK.truth()) >= 0.9
    assert cosine(seen.direction, data.latents, NETWORK.truth(1)) >= 0.9
    assert cosine(backwards.direction, data.latents, -NETWORK.truth()) >= 0.9
    assert [one.explains["trained_on"] for one in (held_out, seen)] == [False, True]
    assert held_out.explains["text_pairs"] == 9
    assert held_out.name == "face-+0"


def test_without_a_text_asked_for_amortised_answers_those_it_learnt(
    data: FinderData, texts: Path
) -> None:
    found = last_of(Amortised(texts, (), Fitting(1, 24)).find(MODEL, data))
    assert len(found) == 9
    assert all(one.explains["trained_on"] for one in found)


def test_an_amortised_direction_is_linear_in_the_text(model: HSpaceUNet) -> None:
    module = new_amortised(model, 5, 0)
    nn.init.normal_(module.shift.weight, generator=torch.Generator().manual_seed(1))
    h, emb = noise(2, *model.h_shape), noise(2, model.emb_channels)
    a, b = noise(2, 5, seed=9)
    dh = module(2 * a - b, h, emb, 500)
    assert torch.allclose(dh, 2 * module(a, h, emb, 500) - module(b, h, emb, 500), atol=1e-5)
    assert torch.allclose(module.of(2 * a - b)(h, emb, 500), dh, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("from,to\na,b\n", "columns source and target"),
        ("source,target\nface,smile\n", "two text pairs or more to learn from; got 1"),
    ],
)
def test_text_pairs_that_cannot_be_read(tmp_path: Path, content: str, match: str) -> None:
    (tmp_path / "texts.csv").write_text(content)
    with pytest.raises(AsyrpError, match=match):
        read_text_pairs(tmp_path / "texts.csv")
    with pytest.raises(AsyrpError, match="needed a CSV"):
        read_text_pairs(tmp_path / "none.csv")


def test_a_text_to_ask_has_two_parts(data: FinderData, texts: Path) -> None:
    with pytest.raises(AsyrpError, match="needed SOURCE:TARGET"):
        last_of(Amortised(texts, ("smiling face",)).find(MODEL, data))


def test_every_image_comes_once_an_epoch() -> None:
    order = batches_of(10, Fitting(2, 4))
    assert [len(rows) for rows in order] == [4, 4, 2, 4, 4, 2]
    for epoch in (order[:3], order[3:]):
        assert sorted(torch.cat(epoch).tolist()) == list(range(10))
    with pytest.raises(AsyrpError, match="epochs must be above 0"):
        Fitting(0)


def finders(texts: Path) -> dict[str, Any]:
    short = Fitting(2, 12)
    return {
        "pairs": Pairs(Path(), "f_t", short),
        "amortised": Amortised(texts, ("face:face +0",), short),
        "clip": Clip("face", "face +0", TrainSettings(epochs=2, batch_size=9, validate_every=0)),
    }


@pytest.mark.parametrize("name", ["pairs", "amortised", "clip"])
def test_a_training_that_was_stopped_ends_as_an_unbroken_one(
    data: FinderData, texts: Path, tmp_path: Path, name: str
) -> None:
    finder = finders(texts)[name]
    (whole,) = last_of(finder.find(MODEL, data))
    kept = FinderData(**{**vars(data), "state": tmp_path / "state"})
    steps = finder.find(MODEL, kept)
    for _ in range(2 if name != "clip" else 8):
        next(steps)
    steps.close()
    assert list((tmp_path / "state").iterdir())
    rest = list(finder.find(MODEL, kept))
    assert len(rest) < len(list(finder.find(MODEL, data)))
    ours, theirs = (one.direction.state_dict() for one in (*rest[-1].directions, whole))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
