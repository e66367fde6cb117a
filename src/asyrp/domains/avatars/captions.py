"""What the built-in text-image encoder reads: captions of faces, with synonyms.

A caption mentions some of a face's visible values; the nouns (face, person, man, ...) say nothing.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from asyrp.domains.avatars.avatars import FACTORS, Face
from asyrp.errors import AsyrpError
from asyrp.scorers.word_encoder import Language, split_words
from asyrp.storage.shipped import shipped_tables

Words = Mapping[str, Mapping[str, tuple[str, ...]]]
"""factor -> value -> words."""

_TABLES = shipped_tables(__package__, "captions.toml")
NOUNS: tuple[str, ...] = _TABLES["nouns"]
OPENINGS: tuple[str, ...] = _TABLES["openings"]
BEFORE: Words = _TABLES["before"]
AFTER: Words = _TABLES["after"]
_BY_PART: Mapping[str, tuple[str, ...]] = _TABLES["by_part"]
ALIASES = {alias: word for word, told in _TABLES["aliases"].items() for alias in told.split()}
"""Words that captions do not use -> the one that they do."""


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
