"""Pictures that come back well from a network that does not know them."""

from pathlib import Path

import pytest

from asyrp.domains.membership import stranger
from asyrp.networks import load_model
from asyrp.storage.images import from_uint8, read_image

PHOTOGRAPH = Path(__file__).parents[2] / "docs" / "images" / "photographs" / "astronaut.jpg"


def test_a_photograph_on_the_network_of_drawn_faces_is_told() -> None:
    pytest.importorskip("python_avatars", reason="needs the extra world")
    from asyrp.domains.avatars.pictures import pictures

    model = load_model("avatars-64")
    own = from_uint8(pictures("validation", 6))
    assert {stranger(model, "avatars-64", image) for image in own} == {""}
    line = stranger(model, "avatars-64", read_image(PHOTOGRAPH, (64, 64)))
    assert "drawn faces" in line
    assert "use the domain photographs-64" in line
    assert stranger(model, "mine.toml", read_image(PHOTOGRAPH, (64, 64))) == ""
