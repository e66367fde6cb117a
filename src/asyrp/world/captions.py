"""Captions of avatars-64: a templated sentence that mentions some of a face's factors.

Nouns such as face, person or woman say nothing. Every other phrase stands for one factor's value,
so that a caption comes with the values it mentions, and what it fits can be looked up.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from asyrp.world.avatars import FACTORS, Face

SHAPE = "glasses_shape"  # what captions may say of glasses beyond the factors
MOST = 5  # mentions in a caption
_COUNTS = (0.08, 0.4, 0.2, 0.14, 0.1, 0.08)  # chance of 0, 1, ... MOST mentions

NOUNS = (
    "face/person/man/woman/avatar/human/portrait/character/cartoon/guy/lady/boy/girl/head/people"
).split("/")
_OPENINGS = (
    "a photo of/a picture of/a portrait of/an image of/a drawing of/a cartoon of/an avatar of"
).split("/")
FUNCTION_WORDS = frozenset(
    "a an the of with without no and in on is who that has have wearing front his her".split()
)


class Caption(NamedTuple):
    """A text and the values (factor -> value) that a picture must show to fit it."""

    text: str
    mentions: Mapping[str, str]


@dataclass(frozen=True)
class Words:
    """The phrases of one value by their place in a sentence, each a list separated by '/'."""

    adjective: str = ""  # a ... face
    has: str = ""  # a face with ...
    does: str = ""  # a face that ...
    tail: str = ""  # a face ...
    noun: str = ""  # instead of face

    def phrases(self) -> list[tuple[str, str]]:
        """(place, phrase) of all of them."""
        places = vars(self).items()
        return [(place, phrase) for place, text in places for phrase in text.split("/") if phrase]


_EXPRESSIONS: dict[str, dict[str, Words]] = {
    "mouth": {
        "smiling": Words(
            "smiling/happy/smiling/grinning/laughing/cheerful/joyful/glad",
            "a smile/a big smile/a happy smile/a grin/a happy expression/a smiling mouth",
            "smiles/is smiling/is happy/looks happy/laughs/grins",
        ),
        "neutral": Words(
            "serious/neutral/expressionless/calm",
            "a neutral expression/a serious expression/a neutral mouth/a straight mouth",
            "is serious/looks serious/looks neutral/is calm",
        ),
        "sad": Words(
            "sad/unhappy/frowning/sad/sorrowful/upset/gloomy",
            "a frown/a sad expression/a sad mouth/an unhappy expression",
            "frowns/is sad/looks sad/is frowning/is unhappy",
        ),
        "surprised": Words(
            "surprised/shocked/astonished/screaming/amazed/surprised",
            "an open mouth/a surprised expression/a shocked expression/mouth open",
            "screams/is surprised/looks surprised/is shocked/is screaming",
        ),
    },
    "brows": {
        "neutral": Words(
            has="relaxed brows/relaxed eyebrows/neutral brows/neutral eyebrows/flat eyebrows"
        ),
        "angry": Words(
            "angry/furious/mad/annoyed/angry/evil",
            "an angry expression/angry eyebrows/angry brows/an angry look",
            "is angry/looks angry/is mad/is furious",
        ),
        "raised": Words(
            "excited",
            "raised eyebrows/raised brows/eyebrows raised/high eyebrows/lifted eyebrows",
            "raises eyebrows/lifts eyebrows/is excited",
        ),
    },
    "eyes": {
        "open": Words(has="open eyes/normal eyes/eyes open"),
        "closed": Words(
            "sleeping/asleep/sleepy",
            "closed eyes/eyes closed/shut eyes/eyes shut",
            "sleeps/is sleeping/is asleep",
        ),
        "winking": Words("winking", "a wink/a winking eye/one eye closed", "winks/is winking"),
        "wide": Words(
            "staring",
            "wide eyes/wide open eyes/big eyes/huge eyes/bulging eyes/staring eyes",
            "stares/is staring",
        ),
    },
}
_BODY: dict[str, dict[str, Words]] = {
    "eyewear": {
        "none": Words(tail="without glasses/with no glasses/without eyewear/with no eyewear"),
        "glasses": Words(
            "bespectacled",
            "glasses/glasses/eyeglasses/spectacles/reading glasses",
            "wears glasses/is wearing glasses/has glasses",
            "wearing glasses/wearing eyeglasses/in glasses/wearing spectacles",
        ),
        "sunglasses": Words(
            "",
            "sunglasses/sunglasses/shades/dark glasses/sun glasses",
            "wears sunglasses/is wearing sunglasses/wears shades",
            "wearing sunglasses/in sunglasses/wearing shades/wearing dark glasses",
        ),
    },
    "facial_hair": {
        "none": Words(
            "clean-shaven/shaven/beardless",
            "a shaven face",
            "is clean-shaven",
            "without a beard/without facial hair/with no beard/with no facial hair",
        ),
        "beard": Words("bearded", "a beard/a beard/a full beard/a bushy beard", "has a beard"),
        "moustache": Words(
            "moustached",
            "a moustache/a mustache/a big moustache/a big mustache",
            "has a moustache/has a mustache",
        ),
    },
    "hair": {
        "bald": Words(
            "bald/bald/hairless/bald-headed",
            "a bald head/a shaved head/no hair",
            "is bald/has no hair",
            "without hair",
        ),
        "short": Words("short-haired", "short hair/a short haircut", "has short hair"),
        "long": Words("long-haired", "long hair/straight long hair", "has long hair"),
        "afro": Words(
            "curly-haired", "an afro/curly hair/frizzy hair/afro hair", "has curly hair/has an afro"
        ),
    },
}
_SKINS = {"pale": "pale/fair", "light": "light/tan", "brown": "brown", "dark": "dark/black"}
_HAIR_COLOURS = {
    "black": "black/dark",
    "brown": "brown/chestnut",
    "blonde": "blonde/blond/golden",
    "red": "red/ginger",
    "grey": "grey/gray/white/silver",
    "blue": "blue",
}
_HAIR_NOUNS = {"blonde": "blonde", "red": "redhead"}
_STYLES = {
    "short": "short {} hair/{} short hair",
    "long": "long {} hair/{} long hair",
    "afro": "curly {} hair/a {} afro/{} curly hair/frizzy {} hair",
}
_SHAPES = {"round": "round/circular"}
_BACKGROUNDS = {"purple": "purple/violet/lavender"}


def _coloured(templates: str, colours: str) -> str:
    return "/".join(t.format(c) for c in colours.split("/") for t in templates.split("/"))


def _skin(colours: str, noun: str = "") -> Words:
    return Words(_coloured("{}-skinned", colours), _coloured("{} skin", colours), "", "", noun)


def _hair_colour(value: str, colours: str) -> Words:
    has, does = _coloured("{} hair/{} hair/hair that is {}", colours), "has {} hair"
    adjectives = _coloured("{}-haired", colours)
    return Words(adjectives, has, _coloured(does, colours), "", _HAIR_NOUNS.get(value, ""))


def _shirt(colour: str) -> Words:
    has = "a {} shirt/a {} shirt/a {} t-shirt/a {} top/{} clothes"
    tail = "in a {} shirt/wearing a {} shirt/wearing a {} top/in {} clothes/in {}/wearing {}"
    does = _coloured("wears a {} shirt", colour)
    return Words("", _coloured(has, colour), does, _coloured(tail, colour))


def _background(colours: str) -> Words:
    has = "a {} background/a {} background/a {} backdrop/a {} wall behind"
    tail = "on a {} background/against a {} background/in front of a {} wall/on {}"
    return Words("", _coloured(has, colours), "", _coloured(tail, colours))


LEXICON: Mapping[str, Mapping[str, Words]] = {
    **_EXPRESSIONS,
    **_BODY,
    "hair_color": {value: _hair_colour(value, c) for value, c in _HAIR_COLOURS.items()},
    "skin": {
        **{value: _skin(colours) for value, colours in _SKINS.items()},
        "green": _skin("green", "zombie/zombie/zombie face/zombie person"),
    },
    "shirt": {value: _shirt(value) for value in FACTORS["shirt"]},
    "background": {
        value: _background(_BACKGROUNDS.get(value, value)) for value in FACTORS["background"]
    },
}


def traits(face: Face) -> dict[str, str]:
    """Everything of a face that a caption may mention: visible factors and the glasses' shape."""
    seen = {factor: face.label(factor) for factor in FACTORS}
    if face.parts["eyewear"] == "ROUND":
        seen[SHAPE] = "round"
    return {key: value for key, value in seen.items() if value is not None}


def caption(face: Face, rng: np.random.Generator) -> Caption:
    """A sentence on 0 to MOST of a face's visible factors.

    Returns:
        the text, and what it mentions: `fits` tells the pictures that it suits.
    """
    seen = traits(face)
    count = int(rng.choice(MOST + 1, p=_COUNTS))
    keys = [str(key) for key in rng.permutation([k for k in seen if k != SHAPE])[:count]]
    mentions = mentionable(face, keys)
    if "eyewear" in mentions and SHAPE in seen and rng.random() < 0.4:
        mentions[SHAPE] = seen[SHAPE]
    return Caption(describe(mentions, rng), mentions)


def mentionable(face: Face, keys: Sequence[str]) -> dict[str, str]:
    """The values of these factors; a bald face's hair colour brings its beard along."""
    bald = face.values["hair"] == "bald"
    more = ["facial_hair"] if "hair_color" in keys and bald else []
    return {key: face.values[key] for key in dict.fromkeys([*keys, *more])}


def fits(mentions: Mapping[str, str], seen: Mapping[str, str]) -> bool:
    """Whether a picture with these traits shows all that a caption mentions."""
    return all(seen.get(key) == value for key, value in mentions.items())


def describe(mentions: Mapping[str, str], rng: np.random.Generator) -> str:
    """A random sentence that mentions just these values."""
    phrases = [_phrase(rng, *group) for group in _groups(mentions, rng)]
    order = [phrases[i] for i in rng.permutation(len(phrases))]
    if len(order) == 1 and rng.random() < 0.15:
        text = order[0][1]
    else:
        text = _sentence(order, rng)
    return _articles(text, keep=rng.random() < 0.6)


def _groups(
    mentions: Mapping[str, str], rng: np.random.Generator
) -> list[tuple[str, Mapping[str, str]]]:
    """What is said in one phrase: a factor, or a colour with the hair or beard that has it."""
    rest = dict(mentions)
    groups: list[tuple[str, Mapping[str, str]]] = []
    if "hair_color" in rest:
        styled = rest.get("hair", "bald") != "bald"
        bearded = rest.get("facial_hair", "none") != "none"
        if styled and rng.random() < 0.8:
            groups.append(("hair_color", {k: rest.pop(k) for k in ("hair_color", "hair")}))
        elif bearded and (rest.get("hair") == "bald" or rng.random() < 0.5):
            groups.append(("hair_color", {k: rest.pop(k) for k in ("hair_color", "facial_hair")}))
    if SHAPE in rest:
        groups.append((SHAPE, {k: rest.pop(k) for k in (SHAPE, "eyewear")}))
    return groups + [(key, {key: value}) for key, value in rest.items()]


def _phrase(rng: np.random.Generator, key: str, values: Mapping[str, str]) -> tuple[str, str]:
    if SHAPE in values:
        return _any(rng, [("has", f"{s} glasses") for s in _SHAPES["round"].split("/")])
    if len(values) == 1:
        options = LEXICON[key][values[key]].phrases()
        place = str(rng.choice(list(dict.fromkeys(place for place, _ in options))))
        return _any(rng, [option for option in options if option[0] == place])
    colour = str(rng.choice(_HAIR_COLOURS[values["hair_color"]].split("/")))
    style = _STYLES[values["hair"]] if "hair" in values else "a {} " + values["facial_hair"]
    return "has", str(rng.choice(style.split("/"))).format(colour)


def _any(rng: np.random.Generator, options: Sequence[tuple[str, str]]) -> tuple[str, str]:
    return options[int(rng.integers(len(options)))]


def _sentence(phrases: Sequence[tuple[str, str]], rng: np.random.Generator) -> str:
    """Opening, article, adjectives, noun, and what comes behind it in any order."""
    by_place = {p: [text for place, text in phrases if place == p] for p in vars(Words())}
    nouns = by_place["noun"] or [str(rng.choice(NOUNS))]
    comma, conjunction = str(rng.choice([", ", " "])), str(rng.choice([" and ", ", "]))
    front = comma.join(by_place["adjective"] + nouns[1:])
    behind = [*by_place["tail"]]
    if by_place["has"]:
        behind.append("with " + conjunction.join(by_place["has"]))
    if by_place["does"]:
        pronoun = str(rng.choice(["that ", "who "]))
        behind.append(pronoun + " and ".join(by_place["does"]))
    opening = str(rng.choice(_OPENINGS)) + " " if rng.random() < 0.3 else ""
    tail = comma.join(behind[i] for i in rng.permutation(len(behind)))
    return f"{opening}a {front} {nouns[0]} {tail}".strip()


def _articles(text: str, keep: bool) -> str:
    text = re.sub(r"\s+", " ", text if keep else re.sub(r"\b(a|an) ", "", text))
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


def queries(factor: str) -> dict[str, list[str]]:
    """Texts of every value of a factor for zero-shot classification."""
    return {value: _plain_texts(words) for value, words in LEXICON[factor].items()}


def _plain_texts(words: Words, each: int = 3) -> list[str]:
    frames = {
        "adjective": "a {} face",
        "has": "a person with {}",
        "does": "a person who {}",
        "tail": "a person {}",
        "noun": "a {}",
    }
    texts: list[str] = []
    for place, frame in frames.items():
        known = dict.fromkeys(phrase for p, phrase in words.phrases() if p == place)
        texts += [_articles(frame.format(phrase), keep=True) for phrase in list(known)[:each]]
    return texts


@cache
def vocabulary() -> tuple[str, ...]:
    """Every word that a caption may hold, sorted."""
    phrases = [p for table in LEXICON.values() for words in table.values() for p in vars(words).values()]
    more = [*NOUNS, *_OPENINGS, *_STYLES.values(), *_SHAPES.values(), *FUNCTION_WORDS]
    return tuple(sorted(set(re.findall(r"[a-z]+", " ".join([*phrases, *more]).replace("/", " ")))))
