"""What the built-in text-image encoder reads: captions of faces, with synonyms.

A caption mentions some of a face's visible values; the nouns (face, person, man, ...) say nothing.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from asyrp.domains.avatars.avatars import FACTORS, Face
from asyrp.errors import AsyrpError
from asyrp.scorers.word_encoder import Language, split_words

NOUNS = (
    "face", "person", "man", "woman", "avatar", "human", "portrait", "character", "guy", "girl",
    "boy", "lady", "someone",
)  # fmt: skip
OPENINGS = (
    "", "", "a ", "the ", "a photo of a ", "a picture of a ", "a drawing of a ", "an image of a ",
)  # fmt: skip

# factor -> value -> words before the noun
BEFORE: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "mouth": {
        "smiling": ("smiling", "happy", "laughing", "cheerful", "grinning"),
        "neutral": ("serious", "neutral"),
        "sad": ("sad", "frowning", "unhappy"),
        "surprised": ("surprised", "astonished", "shocked"),
    },
    "brows": {"angry": ("angry", "mad", "furious"), "raised": ("amazed",), "neutral": ("calm",)},
    "eyes": {"closed": ("sleeping", "sleepy"), "winking": ("winking",), "wide": ("staring",)},
    "eyewear": {"glasses": ("bespectacled",)},
    "facial_hair": {"beard": ("bearded",), "none": ("shaven", "clean-shaven")},
    "hair": {"bald": ("bald",), "short": ("short-haired",), "long": ("long-haired",)},
    "hair_color": {
        "blonde": ("blonde", "blond"),
        "red": ("red-haired", "ginger"),
        "black": ("black-haired",),
        "brown": ("brown-haired",),
        "grey": ("grey-haired", "gray-haired"),
        "blue": ("blue-haired",),
    },
    "skin": {
        "pale": ("pale",),
        "light": ("light-skinned",),
        "brown": ("tanned", "brown-skinned"),
        "dark": ("dark", "dark-skinned"),
        "green": ("zombie", "green", "undead"),
    },
}

# factor -> value -> words behind the noun
AFTER: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "mouth": {
        "smiling": ("with a smile", "that smiles", "with a happy smile"),
        "neutral": ("with a neutral expression", "with a serious mouth", "with a straight mouth"),
        "sad": ("with a sad mouth", "that frowns", "with a frown"),
        "surprised": ("with an open mouth", "that screams", "with a surprised mouth"),
    },
    "brows": {
        "angry": ("with angry brows", "with angry eyebrows"),
        "raised": ("with raised brows", "with raised eyebrows"),
        "neutral": ("with calm brows", "with relaxed eyebrows"),
    },
    "eyes": {
        "open": ("with open eyes",),
        "closed": ("with closed eyes", "with eyes closed"),
        "winking": ("with a wink", "that winks", "with a winking eye"),
        "wide": ("with wide eyes", "with big eyes", "with wide open eyes"),
    },
    "eyewear": {
        "none": ("without glasses", "with no glasses"),
        "glasses": ("with glasses", "wearing glasses", "with spectacles", "in glasses"),
        "sunglasses": ("with sunglasses", "wearing sunglasses", "with shades", "in sunglasses"),
    },
    "facial_hair": {
        "none": ("without a beard", "with no facial hair"),
        "beard": ("with a beard", "with a full beard"),
        "moustache": ("with a moustache", "with a mustache"),
    },
    "hair": {
        "bald": ("without hair", "with a bald head", "with no hair"),
        "short": ("with short hair",),
        "long": ("with long hair",),
        "afro": ("with curly hair", "with an afro", "with big hair"),
    },
    "hair_color": {
        "black": ("with black hair",),
        "brown": ("with brown hair",),
        "blonde": ("with blonde hair", "with blond hair", "with yellow hair"),
        "red": ("with red hair", "with ginger hair", "with orange hair"),
        "grey": ("with grey hair", "with gray hair", "with white hair", "with silver hair"),
        "blue": ("with blue hair",),
    },
    "skin": {
        "pale": ("with pale skin", "with white skin"),
        "light": ("with light skin",),
        "brown": ("with brown skin", "with tanned skin"),
        "dark": ("with dark skin", "with black skin"),
        "green": ("with green skin", "with zombie skin"),
    },
    "shirt": {
        color: (f"in a {color} shirt", f"with a {color} shirt", f"wearing {color} clothes")
        for color in ("white", "black", "red", "blue", "yellow")
    },
    "background": {
        color: (f"on a {color} background", f"with a {color} background")
        for color in ("white", "blue", "green", "pink", "purple")
    },
}

_BY_PART = {
    "ROUND": ("with round glasses",),
    "PRESCRIPTION_2": ("with black glasses",),
    "PRESCRIPTION_1": ("with white glasses",),
}


# Words that captions do not use, read as one that they do.
ALIASES: Mapping[str, str] = {
    alias: word
    for word, aliases in {
        "glasses": "eyeglasses eyewear", "sunglasses": "sunglass", "smile": "grin",
        "smiles": "smile smiling grins laughs", "happy": "joyful glad joyous",
        "angry": "annoyed enraged", "sad": "upset sorrowful gloomy", "sleeping": "asleep",
        "surprised": "amazed stunned", "screams": "screaming yelling", "moustache": "moustached",
        "mustache": "mustached", "bald": "hairless", "afro": "frizzy", "curly": "wavy",
        "shaven": "beardless shaved", "shirt": "tshirt top sweater", "clothes": "clothing",
        "background": "backdrop wall", "purple": "violet lavender", "closed": "shut",
        "wide": "huge", "pale": "fair", "blonde": "golden", "brown": "chestnut",
        "avatar": "cartoon", "person": "people", "guy": "male", "girl": "female",
        "photo": "photograph", "raised": "lifted", "relaxed": "normal",
    }.items()
    for alias in aliases.split()
}  # fmt: skip


class Caption(NamedTuple):
    """A text, and the values that it says a picture shows."""

    text: str
    mentions: Mapping[str, str]


def caption(face: Face, rng: np.random.Generator, most: int = 5) -> Caption:
    """A caption of 0 to `most` of the face's visible factors, in random order and words."""
    shown = [factor for factor in AFTER if face.label(factor) is not None]
    count = min(int(rng.choice([0, 1, 1, 1, 2, 2, 3, 4, 5])), most)
    factors = [str(f) for f in rng.permutation(shown)[:count]]
    mentions = {factor: face.values[factor] for factor in factors}
    before, after = [], []
    for factor, value in mentions.items():
        front = BEFORE.get(factor, {}).get(value, ())
        if front and rng.random() < 0.5:
            before.append(str(rng.choice(front)))
        else:
            after.append(str(rng.choice(_behind(face, factor, value))))
    return Caption(_sentence(before, after, rng), mentions)


def pair(factor: str, value: str, rng: np.random.Generator) -> tuple[str, str]:
    """A source and a target text that differ by one value, as in ("face", "smiling face")."""
    noun, opening = str(rng.choice(NOUNS)), str(rng.choice(OPENINGS))
    front = BEFORE.get(factor, {}).get(value, ())
    words = str(rng.choice(front + AFTER[factor][value]))
    target = f"{words} {noun}" if words in front else f"{noun} {words}"
    return f"{opening}{noun}", f"{opening}{target}"


def queries(factor: str) -> dict[str, list[str]]:
    """value -> texts that ask for it, in the order of FACTORS, for zero-shot classification."""
    return {
        value: [f"a face {words}" for words in AFTER[factor][value]] for value in FACTORS[factor]
    }


def others(text: str) -> list[str]:
    """Texts of all values of the factors that a text says nothing of: what its edit should keep.

    Raises:
        AsyrpError: it speaks of no factor of the world.
    """
    silent = [factor for factor in FACTORS if not _speaks_of(text, factor)]
    if len(silent) == len(FACTORS):
        raise AsyrpError(
            f"{text!r} names no attribute of avatars-64; say what to keep: --keep TEXT"
        )
    return [texts[0] for factor in silent for texts in queries(factor).values()]


def _speaks_of(text: str, factor: str) -> bool:
    words = f" {' '.join(split_words(text))} "
    phrases = [p for table in (BEFORE, AFTER) for ps in table.get(factor, {}).values() for p in ps]
    return any(f" {' '.join(split_words(phrase))} " in words for phrase in phrases)


def vocabulary() -> tuple[str, ...]:
    """Every word of every caption, sorted."""
    tables: list[Sequence[str]] = [NOUNS, OPENINGS, ("and", "an")]
    for table in (BEFORE, AFTER):
        tables += [words for values in table.values() for words in values.values()]
    tables += list(_BY_PART.values())
    return tuple(sorted({word for texts in tables for text in texts for word in split_words(text)}))


def language() -> Language:
    """What the encoder of avatars-64 reads."""
    return Language("avatars-64-clip", vocabulary(), ALIASES)


def _behind(face: Face, factor: str, value: str) -> tuple[str, ...]:
    own = _BY_PART.get(face.parts[factor], ()) if factor == "eyewear" else ()
    return AFTER[factor][value] + own


def _sentence(before: list[str], after: list[str], rng: np.random.Generator) -> str:
    noun, opening = str(rng.choice(NOUNS)), str(rng.choice(OPENINGS))
    joint = str(rng.choice([" and ", " ", ", "]))
    front = "".join(f"{word} " for word in before)
    back = f" {joint.join(after)}" if after else ""
    return f"{opening}{front}{noun}{back}"
