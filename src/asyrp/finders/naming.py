"""Names for directions that come without: the texts that move the encoder's features alike."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.protocols import TextImageEncoder, templates_of
from asyrp.method.strength_sweep import strip
from asyrp.reporting.statistics import DRAWS, TAIL, resamples
from asyrp.runtime.batching import by_batches
from asyrp.storage.untrusted.texts import read_bounded

MOST_SHOWN = 3  # texts of each end on a card


class NearText(NamedTuple):
    """A text, the cosine of its direction with the movement, and the 95 % interval of that.

    tie: whether the nearest text is nearer in fewer than 97.5 % of the resamples.
    """

    text: str
    cosine: float
    low: float
    high: float
    tie: bool


class Name(NamedTuple):
    """The nearest texts of each end, nearest first; none where the best one's interval has 0."""

    plus: tuple[NearText, ...]
    minus: tuple[NearText, ...]
    images: int

    def as_json(self) -> dict[str, Any]:
        """As a card carries it."""
        ends = {"plus": self.plus, "minus": self.minus}
        return {k: [one._asdict() for one in v] for k, v in ends.items()} | {"images": self.images}


@torch.no_grad()
def movement(
    model: HSpaceUNet,
    act: Attribute,
    latents: Tensor,
    encoder: TextImageEncoder,
    steps: int,
    batch_size: int = 16,
) -> Tensor:
    """E(edited forwards) - E(edited backwards) of each image, (n, d).

    Args:
        latents: x_T, (n, c, height, width).
    """
    back = replace(act, strength=-act.strength)
    forwards, backwards = strip(model, latents, [[act], [back]], steps, batch_size=batch_size)

    def moved(edited: Tensor, other: Tensor) -> Tensor:
        features = encoder.image_features
        return (features(edited.float()) - features(other.float())).cpu()

    return by_batches(moved, batch_size, forwards, backwards)


@torch.no_grad()
def text_directions(encoder: TextImageEncoder, texts: Sequence[str], noun: str = "") -> Tensor:
    """dT of each text from a noun, or from the mean of all of them, (k, d) of unit norm.

    Raises:
        AsyrpError: fewer than two texts, or the same one twice.
    """
    if len(texts) < 2 or len(set(texts)) < len(texts):
        raise AsyrpError(
            f"names are chosen among two different texts or more; got {list(texts)[:4]}"
        )
    features = torch.stack([_mean_features(encoder, text) for text in texts])
    centre = _mean_features(encoder, noun) if noun else features.mean(0)
    return functional.normalize(features - centre, dim=1).cpu()


def _mean_features(encoder: TextImageEncoder, text: str) -> Tensor:
    return encoder.text_features([t.format(text) for t in templates_of(encoder)]).mean(0)


def name_of(moved: Tensor, directions: Tensor, texts: Sequence[str]) -> Name:
    """The texts nearest to the mean movement and to its opposite.

    Args:
        moved: (n, d). directions: (k, d), unit norm.

    Raises:
        AsyrpError: fewer than two images.
    """
    rows = moved.double().numpy()
    drawn = rows[resamples(len(rows), 0, DRAWS)].mean(1)
    cosines = _cosines(drawn, directions)
    own = _cosines(rows.mean(0)[None], directions)[0]
    return Name(_end(own, cosines, texts), _end(-own, -cosines, texts), len(rows))


def _cosines(moved: np.ndarray, directions: Tensor) -> np.ndarray:
    """(draws, d) and (k, d) -> (draws, k)."""
    norms = np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
    found: np.ndarray = moved / norms @ directions.double().numpy().T
    return found


def _end(own: np.ndarray, drawn: np.ndarray, texts: Sequence[str]) -> tuple[NearText, ...]:
    """The nearest texts of one end."""
    order = np.argsort(-own)
    best = order[0]
    lows, highs = np.quantile(drawn, (1 - TAIL, TAIL), axis=0)
    if lows[best] <= 0:
        return ()
    ahead = np.quantile(drawn[:, [best]] - drawn, 1 - TAIL, axis=0)
    tied = (ahead <= 0) & (np.arange(len(own)) != best)
    rows = np.stack([own, lows, highs], axis=1).round(4)

    def near(i: int) -> NearText:
        cosine, low, high = map(float, rows[i])
        return NearText(texts[i], cosine, low, high, bool(tied[i]))

    return tuple(near(i) for i in order[:MOST_SHOWN])


def read_texts(path: Path) -> list[str]:
    """A text a line, less empty lines and those that begin with #; AsyrpError for no such file."""
    try:
        lines = [line.strip() for line in read_bounded(path).decode("utf-8-sig").splitlines()]
    except (OSError, ValueError) as error:
        raise AsyrpError(f"needed a file with a text a line; {str(path)!r}: {error}") from error
    return [line for line in lines if line and not line.startswith("#")]
