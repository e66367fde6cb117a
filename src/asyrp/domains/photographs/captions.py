"""What the encoder of photographs reads: what a face shows and what it does not, with synonyms."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from asyrp.scorers.word_encoder import Language, split_words

NAME = "photographs-64-clip"
NOUNS = ("face", "person", "someone", "human", "portrait", "celebrity")
OPENINGS = (
    "", "", "", "a ", "the ", "a photo of a ", "a photograph of a ", "a picture of a ",
    "a portrait of a ",
)  # fmt: skip


class Words(NamedTuple):
    """Words for a value, before and behind the noun; `nouns` stand in place of the noun."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    nouns: tuple[str, ...] = ()


# attribute of the table -> (words where it is 1, words where it is 0)
WORDS: Mapping[str, tuple[Words, Words]] = {
    "Smiling": (
        Words(("smiling", "happy", "cheerful", "laughing"), ("with a smile", "that smiles")),
        Words(("serious", "unsmiling", "neutral"), ("without a smile", "with a serious look")),
    ),
    "Mouth_Slightly_Open": (
        Words((), ("with an open mouth", "with parted lips", "with the mouth open")),
        Words((), ("with a closed mouth", "with closed lips", "with the mouth closed")),
    ),
    "Eyeglasses": (
        Words(
            ("bespectacled",), ("with glasses", "wearing glasses", "in glasses", "with eyeglasses")
        ),
        Words((), ("without glasses", "with no glasses")),
    ),
    "Male": (
        Words(("male", "masculine"), (), ("man", "man", "guy", "gentleman")),
        Words(("female", "feminine"), (), ("woman", "woman", "lady")),
    ),
    "Young": (
        Words(("young", "youthful"), ("of young age",)),
        Words(("old", "elderly", "aged"), ("of old age", "with wrinkles")),
    ),
    "Bald": (
        Words(("bald",), ("without hair", "with a bald head", "with no hair")),
        Words((), ("with hair",)),
    ),
    "Receding_Hairline": (
        Words(("balding",), ("with a receding hairline", "with thinning hair")),
        Words((), ("with a full hairline",)),
    ),
    "Bangs": (
        Words((), ("with bangs", "with a fringe")),
        Words((), ("without bangs", "with a bare forehead")),
    ),
    "Black_Hair": (
        Words(("black-haired",), ("with black hair", "with dark hair")),
        Words((), ("without black hair",)),
    ),
    "Blond_Hair": (
        Words(("blond", "blonde", "blond-haired"), ("with blond hair", "with blonde hair")),
        Words((), ("without blond hair",)),
    ),
    "Brown_Hair": (
        Words(("brown-haired", "brunette"), ("with brown hair",)),
        Words((), ("without brown hair",)),
    ),
    "Gray_Hair": (
        Words(
            ("grey-haired", "gray-haired"), ("with grey hair", "with gray hair", "with white hair")
        ),
        Words((), ("without grey hair", "without gray hair")),
    ),
    "Wavy_Hair": (
        Words(("wavy-haired",), ("with wavy hair", "with curly hair")),
        Words((), ("without wavy hair",)),
    ),
    "Straight_Hair": (
        Words(("straight-haired",), ("with straight hair",)),
        Words((), ("without straight hair",)),
    ),
    "Wearing_Hat": (
        Words((), ("with a hat", "wearing a hat", "in a hat", "with a cap")),
        Words((), ("without a hat", "with no hat")),
    ),
    "Wearing_Lipstick": (
        Words((), ("with lipstick", "wearing lipstick", "with red lips")),
        Words((), ("without lipstick", "with pale lips")),
    ),
    "Heavy_Makeup": (
        Words((), ("with makeup", "with heavy makeup", "wearing makeup")),
        Words((), ("without makeup", "with no makeup")),
    ),
    "Goatee": (
        Words((), ("with a goatee",)),
        Words((), ("without a goatee",)),
    ),
    "Mustache": (
        Words(("moustached",), ("with a mustache", "with a moustache")),
        Words((), ("without a mustache", "without a moustache")),
    ),
    "No_Beard": (
        Words(("shaven", "clean-shaven", "beardless"), ("without a beard", "with no beard")),
        Words(("bearded",), ("with a beard", "with facial hair")),
    ),
    "Sideburns": (
        Words((), ("with sideburns",)),
        Words((), ("without sideburns",)),
    ),
    "5_o_Clock_Shadow": (
        Words(("unshaven",), ("with stubble",)),
        Words((), ("without stubble",)),
    ),
    "Bushy_Eyebrows": (
        Words((), ("with bushy eyebrows", "with thick eyebrows")),
        Words((), ("with thin eyebrows",)),
    ),
    "Arched_Eyebrows": (
        Words((), ("with arched eyebrows", "with raised eyebrows")),
        Words((), ("with flat eyebrows",)),
    ),
    "Pale_Skin": (
        Words(("pale",), ("with pale skin",)),
        Words(("tanned",), ("with tanned skin",)),
    ),
    "Rosy_Cheeks": (
        Words(("blushing",), ("with rosy cheeks", "with red cheeks")),
        Words((), ("without rosy cheeks",)),
    ),
    "Chubby": (
        Words(("chubby", "fat"), ("with a round face",)),
        Words(("slim", "thin"), ("with a slim face",)),
    ),
    "Double_Chin": (
        Words((), ("with a double chin",)),
        Words((), ("without a double chin",)),
    ),
    "Big_Nose": (
        Words((), ("with a big nose", "with a large nose")),
        Words((), ("with a small nose",)),
    ),
    "Narrow_Eyes": (
        Words((), ("with narrow eyes",)),
        Words((), ("with wide eyes",)),
    ),
    "Bags_Under_Eyes": (
        Words(("tired",), ("with bags under the eyes",)),
        Words(("rested",), ("without bags under the eyes",)),
    ),
    "High_Cheekbones": (
        Words((), ("with high cheekbones",)),
        Words((), ("with low cheekbones",)),
    ),
    "Wearing_Earrings": (
        Words((), ("with earrings", "wearing earrings")),
        Words((), ("without earrings",)),
    ),
    "Wearing_Necktie": (
        Words((), ("with a tie", "wearing a tie", "with a necktie")),
        Words((), ("without a tie",)),
    ),
    "Wearing_Necklace": (
        Words((), ("with a necklace", "wearing a necklace")),
        Words((), ("without a necklace",)),
    ),
}
ATTRIBUTES = tuple(WORDS)

ALIASES: Mapping[str, str] = {
    alias: word
    for word, aliases in {
        "glasses": "spectacles eyewear", "smiling": "grinning beaming",
        "happy": "joyful glad merry",
        "smile": "grin", "smiles": "grins laughs", "serious": "stern sad grim",
        "old": "older ageing",
        "young": "younger teenage", "bearded": "hairy", "mustache": "tache", "makeup": "cosmetics",
        "hat": "beanie headwear", "tie": "cravat", "curly": "frizzy", "pale": "fair",
        "tanned": "dark-skinned brown-skinned tan", "fat": "plump overweight", "slim": "skinny",
        "large": "huge", "blond": "golden fair-haired yellow", "brunette": "chestnut",
        "man": "men boy", "woman": "women girl", "person": "people", "photo": "image snapshot",
        "lipstick": "rouge", "stubble": "shadow", "elderly": "senior", "wrinkles": "wrinkled",
        "eyebrows": "brows",
    }.items()
    for alias in aliases.split()
}  # fmt: skip


def language() -> Language:
    """What the encoder of photographs-64 reads."""
    return Language(NAME, vocabulary(), ALIASES, widths=(32, 64, 128, 192))


def vocabulary() -> tuple[str, ...]:
    """Every word of every caption, sorted."""
    texts: list[str] = [*NOUNS, *OPENINGS, "and", "an"]
    for pair in WORDS.values():
        for words in pair:
            texts += [*words.before, *words.after, *words.nouns]
    return tuple(sorted({word for text in texts for word in split_words(text)}))


def phrase(values: Mapping[str, bool], rng: np.random.Generator, opening: bool = True) -> str:
    """A text that says these values: attribute -> whether it shows."""
    noun = str(rng.choice(NOUNS))
    before: list[str] = []
    after: list[str] = []
    for name, shows in values.items():
        words = WORDS[name][0 if shows else 1]
        kinds = [kind for kind in ("before", "after", "nouns") if getattr(words, kind)]
        kind = str(rng.choice(kinds))
        chosen = str(rng.choice(getattr(words, kind)))
        if kind == "nouns":
            noun = chosen
        else:
            (before if kind == "before" else after).append(chosen)
    front = "".join(f"{word} " for word in before)
    back = f" {' and '.join(after)}" if after else ""
    return f"{rng.choice(OPENINGS) if opening else ''}{front}{noun}{back}"


def pair(name: str, shows: bool, rng: np.random.Generator) -> tuple[str, str]:
    """A source and a target that differ by one value, as in ("face", "smiling face")."""
    noun, words = str(rng.choice(NOUNS)), WORDS[name][0 if shows else 1]
    if words.nouns and rng.random() < 0.5:
        return noun, str(rng.choice(words.nouns))
    said = str(rng.choice(words.before + words.after))
    return noun, f"{said} {noun}" if said in words.before else f"{noun} {said}"


def questions(name: str) -> tuple[Sequence[str], Sequence[str]]:
    """All texts that say an attribute shows, and all that say it does not."""
    yes, no = WORDS[name]
    return tuple([_said(w, words) for w in _all(words)] for words in (yes, no))  # type: ignore[return-value]


def _all(words: Words) -> tuple[str, ...]:
    return words.before + words.after + words.nouns


def _said(word: str, words: Words) -> str:
    if word in words.nouns:
        return word
    return f"{word} face" if word in words.before else f"face {word}"
