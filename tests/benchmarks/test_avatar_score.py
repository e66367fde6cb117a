"""Success and leakage, counted by hand."""

import itertools

import pytest
import torch
from torch import Tensor

from asyrp.domains.avatars.avatars import FACTORS, Face
from asyrp.domains.avatars.judge import JudgeNetwork
from asyrp.errors import AsyrpError
from avatar_score import Answers, answers, check_target, score, showing
from conftest import noise

PLAIN = {factor: next(iter(values)) for factor, values in FACTORS.items()}  # hair: bald
OTHERS = len(FACTORS) - 1


def face(**values: str) -> Face:
    return Face({**PLAIN, "hair": "short", **values}, {})


def said(count: int = 4, **columns: list[int]) -> Answers:
    """Answers 0 about every factor of `count` faces but the given ones."""
    return {
        factor: torch.tensor(columns.get(factor, [0] * count), dtype=torch.int64)
        for factor in FACTORS
    }


FACES = [face(mouth="sad")] * 4


def test_success_is_the_share_judged_to_show_the_value() -> None:
    smiling = list(FACTORS["mouth"]).index("smiling")
    sad = list(FACTORS["mouth"]).index("sad")
    after = said(mouth=[smiling, smiling, smiling, sad])
    found = score(said(mouth=[sad] * 4), after, FACES, "mouth", "smiling")
    assert found.success == 0.75
    assert score(after, said(mouth=[sad] * 4), FACES, "mouth", "smiling").success == 0


def test_the_factor_itself_does_not_leak() -> None:
    """A surprised mouth in place of a sad one is no success, and no leakage either."""
    found = score(said(mouth=[2] * 4), said(mouth=[3] * 4), FACES, "mouth", "smiling")
    assert (found.success, found.leakage) == (0, 0)
    assert "mouth" not in found.by_factor


def test_leakage_is_pooled_over_faces_and_factors() -> None:
    after = said(skin=[0, 1, 2, 0], eyes=[1, 0, 0, 0])
    found = score(said(), after, FACES, "mouth", "smiling")
    assert found.by_factor["skin"] == 0.5
    assert found.by_factor["eyes"] == 0.25
    assert found.by_factor["shirt"] == 0
    assert found.leakage == pytest.approx(3 / (4 * OTHERS))


def test_what_does_not_show_is_not_counted() -> None:
    """Sunglasses hide the eyes of two faces; the judge's guesses about them mean nothing."""
    faces = [face(eyewear="sunglasses")] * 2 + [face()] * 2
    after = said(eyes=[1, 1, 1, 0])
    found = score(said(), after, faces, "mouth", "smiling")
    assert found.by_factor["eyes"] == 0.5
    assert found.leakage == pytest.approx(1 / (4 * OTHERS - 2))


def test_what_the_edit_itself_hides_is_not_counted() -> None:
    """After an edit towards sunglasses the eyes do not show."""
    found = score(said(), said(eyes=[1] * 4), FACES, "eyewear", "sunglasses")
    assert "eyes" not in found.by_factor
    assert found.leakage == 0
    kept = score(said(), said(eyes=[1] * 4), FACES, "eyewear", "glasses")
    assert kept.by_factor["eyes"] == 1


@pytest.mark.parametrize("beard", ["none", "beard"])
@pytest.mark.parametrize("target", ["bald", "long"])
def test_hair_colour_shows_on_hair_or_beard(beard: str, target: str) -> None:
    bald, haired = face(hair="bald", facial_hair=beard), face(hair="short", facial_hair=beard)
    found = showing([bald, haired], "hair_color", "hair", target)
    wanted = beard == "beard"
    assert found.tolist() == [wanted, wanted or target == "long"]


def test_a_target_that_the_world_does_not_have_is_refused() -> None:
    for factor, values in FACTORS.items():
        for value in values:
            check_target(factor, value)
    with pytest.raises(AsyrpError, match="unknown factor 'nose'; the world has: mouth, brows"):
        check_target("nose", "long")
    with pytest.raises(AsyrpError, match="mouth has no value 'open'; it has: smiling, neutral"):
        check_target("mouth", "open")


class Fixed(JudgeNetwork):
    """Answers by the first pixel: the number of the picture."""

    def decide(self, images: Tensor) -> Tensor:
        first = images[:, 0, 0, 0].long()
        return torch.stack([first + column for column in range(len(FACTORS))], dim=1)


@pytest.mark.parametrize("size", [1, 3, 64])
def test_answers_are_one_column_a_factor(size: int) -> None:
    images = torch.zeros(5, 3, 64, 64, dtype=torch.float64)
    images[:, 0, 0, 0] = torch.arange(5)
    found = answers(Fixed(), images, size)
    for column, (factor, values) in enumerate(found.items()):
        assert factor == list(FACTORS)[column]
        assert values.tolist() == [i + column for i in range(5)]


def test_answers_are_those_of_the_judge() -> None:
    judge, images = JudgeNetwork().eval(), noise(3, 3, 64, 64)
    found = answers(judge, images, 2)
    wanted = judge.decide(images)
    for (_, values), column in zip(found.items(), itertools.count(), strict=False):
        assert torch.equal(values, wanted[:, column])
