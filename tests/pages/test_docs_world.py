"""What the guides say of the built-in world is what the code knows."""

import re
import warnings
from pathlib import Path

from asyrp.domains.avatars.avatars import FACTORS, UNSEEN
from asyrp.scorers.load import load_encoder

GUIDE = Path(__file__).parents[2] / "docs" / "train_a_direction.md"


def rows() -> dict[str, tuple[list[str], list[str]]]:
    """Attribute -> values and texts, of the table."""
    found = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", GUIDE.read_text(), re.MULTILINE)
    table = {name: (values.split(", "), texts.split(", ")) for name, values, texts in found}
    return {name: table[name] for name in FACTORS}


def test_the_table_of_attributes_is_that_of_the_code() -> None:
    for name, (values, _) in rows().items():
        marked = [v + (" (unseen)" if UNSEEN.get(name) == v else "") for v in FACTORS[name]]
        assert values == marked


def test_the_encoder_knows_every_word_of_its_texts() -> None:
    encoder = load_encoder("avatars-64-clip")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.text_features([text for _, texts in rows().values() for text in texts])
