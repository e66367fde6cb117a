"""`asyrp edit` by a direction whose card says how much of its text an image has to show."""

import json
from dataclasses import replace

import pytest

from asyrp.method.direction_file import load_direction, save_direction
from asyrp.method.enough import FACTORS
from places import Place, cached_model, call, edit_of, picture


def with_enough(p: Place, enough: float) -> Place:
    """The place, its direction with such a card."""
    direction, card = load_direction(p.direction, cached_model("avatars-64"))
    path = p.root / "enough.safetensors"
    told = replace(card, encoder="avatars-64-clip", target="smiling face", enough=enough)
    save_direction(path, direction, told)
    return replace(p, direction=path)


@pytest.mark.parametrize(("enough", "factor"), [(-1.0, FACTORS[0]), (1.0, FACTORS[-1])])
def test_an_image_gets_the_first_strength_that_is_enough(
    place: Place, enough: float, factor: float
) -> None:
    p, plain = with_enough(place, enough), place.root / "plain"
    more = ["--t-boost", 300]  # its noise is that of the image's own number
    assert call(*edit_of(p, *more)) == 0
    assert call(*edit_of(p, *more, "--strength", factor, "--out", plain)) == 0
    told = json.loads((p.out / "run.json").read_text())
    assert told["strengths"] == {"face0.png": factor, "face1.png": factor}
    for name in told["strengths"]:
        found, wanted = (picture(folder / name).astype(int) for folder in (p.out, plain))
        assert abs(found - wanted).max() <= 1


@pytest.mark.parametrize("more", [["--no-enough"], ["--strength", 0.7], ["--strengths", 1]])
def test_a_strength_that_is_asked_for_is_given(place: Place, more: list[object]) -> None:
    p = with_enough(place, -1.0)
    assert call(*edit_of(p, *more)) == 0
    assert "strengths" not in json.loads((p.out / "run.json").read_text())
