"""How good the built-in encoder is: zero-shot, directions of exact swaps, where its gradient is."""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from asyrp.domains.augmentation import soften
from asyrp.domains.avatars.avatars import FACTORS, Face, draw, sample_face
from asyrp.domains.avatars.captions import queries
from asyrp.domains.avatars.pictures import HIDDEN, labels, pictures
from asyrp.method.text_direction import text_direction
from asyrp.scorers.word_encoder import WordEncoder
from asyrp.storage.images import from_uint8

TEST_UNSEEN = 0.1


class TextPair(NamedTuple):
    """A source and a target text, and the swap that they speak of."""

    source: str
    target: str
    factor: str
    value: str


PAIRS = (
    TextPair("face", "smiling face", "mouth", "smiling"),
    TextPair("face", "sad face", "mouth", "sad"),
    TextPair("face", "surprised face", "mouth", "surprised"),
    TextPair("face", "angry face", "brows", "angry"),
    TextPair("face", "face with raised eyebrows", "brows", "raised"),
    TextPair("person", "person with closed eyes", "eyes", "closed"),
    TextPair("person", "winking person", "eyes", "winking"),
    TextPair("person", "person with glasses", "eyewear", "glasses"),
    TextPair("person", "person with sunglasses", "eyewear", "sunglasses"),
    TextPair("person", "person with a beard", "facial_hair", "beard"),
    TextPair("person", "person with a moustache", "facial_hair", "moustache"),
    TextPair("person", "bald person", "hair", "bald"),
    TextPair("person", "person with blue hair", "hair_color", "blue"),
    TextPair("person", "zombie", "skin", "green"),
    TextPair("person", "person in a red shirt", "shirt", "red"),
    TextPair("person", "person on a pink background", "background", "pink"),
)  # fmt: skip


class Report(NamedTuple):
    """zero_shot: share right by factor. directions, blurred: mean cosines, (swaps, text pairs).

    focus: the smile text's gradient energy in the mouth region over the region's area share,
    (on sharp, on blurred pictures).
    """

    zero_shot: dict[str, float]
    directions: Tensor
    blurred: Tensor
    focus: tuple[float, float]


def evaluate(encoder: WordEncoder, cache: Path | None, count: int = 2000) -> Report:
    """Measure an encoder on the split "test"; the swaps are drawn anew (16 x 40 pictures)."""
    swaps = [swap_pictures(pair, 40) for pair in PAIRS]
    soft = [(soften(before), soften(after)) for before, after in swaps]
    region = mouth_region(swaps[0])
    return Report(
        zero_shot(encoder, from_uint8(pictures("test", count, cache, TEST_UNSEEN))),
        directions(encoder, swaps),
        directions(encoder, soft),
        (focus(encoder, swaps[0][0], region), focus(encoder, soft[0][0], region)),
    )


@torch.no_grad()
def zero_shot(encoder: WordEncoder, images: Tensor) -> dict[str, float]:
    """Share of visible values named right by the nearest text; images: the first of "test"."""
    known = torch.from_numpy(labels("test", len(images), TEST_UNSEEN).astype(np.int64))
    features = torch.cat([encoder.image_features(part) for part in torch.split(images, 250)])
    scores = {}
    for column, factor in enumerate(FACTORS):
        texts = [encoder.text_features(words).mean(0) for words in queries(factor).values()]
        named = (features @ torch.stack(texts).T).argmax(1)
        shown = known[:, column] != HIDDEN
        scores[factor] = float((named == known[:, column])[shown].double().mean())
    return scores


def swap_pictures(pair: TextPair, count: int) -> tuple[Tensor, Tensor]:
    """Test faces without the pair's value, and the same with it, each (count, 3, 64, 64)."""
    faces: list[Face] = []
    index = 0
    while len(faces) < count:
        face = sample_face("test", index, TEST_UNSEEN)
        if face.label(pair.factor) not in (None, pair.value):
            faces.append(face)
        index += 1
    after = [face.replaced(pair.factor, pair.value) for face in faces]
    before_pictures, after_pictures = (np.stack([draw(f) for f in side]) for side in (faces, after))
    return from_uint8(before_pictures), from_uint8(after_pictures)


@torch.no_grad()
def directions(encoder: WordEncoder, swaps: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Mean cos(dI, dT) of every swap (row) with every text pair (column), (n, n)."""
    texts = torch.stack([text_direction(encoder, p.source, p.target) for p in PAIRS])
    rows = []
    for before, after in swaps:
        moved = encoder.image_features(after) - encoder.image_features(before)
        rows.append((functional.normalize(moved, dim=1) @ texts.T).mean(0))
    return torch.stack(rows)


def off_factor(cosines: Tensor) -> Tensor:
    """The entries of a table of directions whose swap and text are of different factors."""
    factors = [pair.factor for pair in PAIRS]
    return cosines[torch.tensor([[a != b for b in factors] for a in factors])]


def mouth_region(swaps: tuple[Tensor, Tensor]) -> Tensor:
    """Where a swap of the mouth changes pixels on at least a tenth of the faces, (64, 64) bool."""
    changed = (swaps[0] - swaps[1]).abs().amax(1) > 0.05
    return changed.float().mean(0) > 0.1


def focus(encoder: WordEncoder, images: Tensor, region: Tensor) -> float:
    """Share of the energy of d<E(x), dT>/dx inside a region over the region's share of pixels.

    dT is "face" -> "smiling face"; 1 means that the gradient does not care for the region.
    """
    text = text_direction(encoder, "face", "smiling face")
    x = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad((encoder.image_features(x) @ text).sum(), x)
    energy = gradient.square().sum(1)
    share = energy[:, region].sum(1) / energy.sum((1, 2))
    return float(share.mean() / region.float().mean())


def card(report: Report, data: str, recipe: str) -> str:
    """The model card, in Markdown."""
    rows = [f"| {name} | {100 * share:.1f} |" for name, share in report.zero_shot.items()]
    machine = f"{torch.get_num_threads()} threads of a {platform.machine()} CPU"
    version = torch.__version__.split("+")[0]
    return "\n".join(
        [
            "# avatars-64-clip",
            "",
            "Text-image encoder of avatars-64. Written by asyrp.domains.avatars.train_encoder.",
            "",
            f"- Data: {data}; captions from asyrp.domains.avatars.captions.",
            f"- Recipe: {recipe}; sigmoid loss with many positives, plus directions of swaps.",
            f"- Machine: {machine}, PyTorch {version}.",
            "- Licence: MIT.",
            "",
            "Zero-shot accuracy on the split `test` (visible factors):",
            "",
            "| factor | % |",
            "|---|---|",
            *rows,
            "",
            *_direction_lines(report),
        ]
    )


def _direction_lines(report: Report) -> list[str]:
    sharp, soft = off_factor(report.directions), off_factor(report.blurred)
    return [
        "Directions: mean cos(E(swapped) - E(picture), E(target text) - E(source text)) of exact",
        "swaps of test faces, for the right text, and the largest |mean| over texts of other",
        f"factors. Over all swaps: right {report.directions.diagonal().mean():.2f} "
        f"(blurred by sigma 2: {report.blurred.diagonal().mean():.2f}); other factors' |mean| "
        f"{sharp.abs().mean():.3f} (blurred: {soft.abs().mean():.3f}).",
        "",
        "| swap | right text | blurred | worst other factor | blurred |",
        "|---|---|---|---|---|",
        *[_direction_row(report, row) for row in range(len(PAIRS))],
        "",
        "All cosines (rows: swaps, columns: text pairs in the same order):",
        "",
        "```",
        *[" ".join(f"{c:5.2f}" for c in row) for row in report.directions.tolist()],
        "```",
        "",
        "Gradient of the smile text: energy in the mouth region over the region's area share "
        f"{report.focus[0]:.1f} (on pictures blurred by sigma 2: {report.focus[1]:.1f}).",
        "",
    ]


def _direction_row(report: Report, row: int) -> str:
    pair = PAIRS[row]
    cells = []
    for table in (report.directions, report.blurred):
        others = [float(table[row, i]) for i, p in enumerate(PAIRS) if p.factor != pair.factor]
        cells.append((float(table[row, row]), max(others, key=abs)))
    (right, other), (soft, soft_other) = cells
    name = f"{pair.source} -> {pair.target}"
    return f"| {name} | {right:.2f} | {soft:.2f} | {other:.2f} | {soft_other:.2f} |"
