"""Names for unnamed directions: the right text, its interval, and ties that are said."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from asyrp.errors import AsyrpError
from asyrp.finders.naming import movement, name_of, read_texts, text_directions
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.directions import GlobalDirection
from conftest import noise
from planted import FactorEncoder, planted

NETWORK, MODEL = planted()
ENCODER = FactorEncoder(NETWORK)
TEXTS = ["face +0", "face -0", "face +1", "face -1", "face +2", "face -2"]


@pytest.mark.parametrize(("factor", "sign"), [(0, 1), (0, -1), (1, 1), (2, -1)])
def test_a_planted_direction_gets_its_own_name(factor: int, sign: int) -> None:
    act = Attribute(GlobalDirection(sign * NETWORK.truth(factor)), 500, 0.5, trained_steps=10)
    moved = movement(MODEL, act, noise(8, *MODEL.image_shape), ENCODER, steps=10)
    name = name_of(moved, text_directions(ENCODER, TEXTS, "face"), TEXTS)
    word, opposite = "+-" if sign > 0 else "-+"
    assert name.plus[0].text == f"face {word}{factor}"
    assert name.minus[0].text == f"face {opposite}{factor}"
    assert name.plus[0].cosine > 0.9
    assert name.plus[0].low <= name.plus[0].cosine <= name.plus[0].high
    assert not name.plus[0].tie
    assert not name.plus[1].tie
    assert name.images == 8
    assert name.as_json()["plus"][0]["text"] == f"face {word}{factor}"


def test_a_movement_between_two_texts_is_a_tie() -> None:
    directions = functional.normalize(torch.eye(4), dim=1)
    moved = torch.tensor([1.0, 1.0, 0.0, 0.0]) + 0.3 * noise(20, 4)
    name = name_of(moved, directions, list("abcd"))
    assert {one.text for one in name.plus[:2]} == {"a", "b"}
    assert [one.tie for one in name.plus] == [False, True, False]


def test_a_movement_at_random_has_no_name() -> None:
    name = name_of(noise(20, 50), functional.normalize(noise(2, 50, seed=9), dim=1), ["a", "b"])
    assert name.plus == ()


def test_texts_are_read_a_line_each(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("# faces\nsmiling face\n\n  person with glasses \n")
    assert read_texts(path) == ["smiling face", "person with glasses"]
    with pytest.raises(AsyrpError, match="a text a line"):
        read_texts(tmp_path / "none.txt")


def test_names_need_several_texts() -> None:
    for texts in (["face +0"], ["face +0", "face +0"]):
        with pytest.raises(AsyrpError, match="two different texts or more"):
            text_directions(ENCODER, texts)
    centred = text_directions(ENCODER, TEXTS)
    assert torch.allclose(centred[0], -centred[1], atol=0.1)  # about the mean of all
