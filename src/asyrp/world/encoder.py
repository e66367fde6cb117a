"""The built-in text-image encoder: a small CLIP for the faces of the world."""

import difflib
import warnings
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from asyrp.errors import AsyrpError
from asyrp.world.avatars import SIZE
from asyrp.world.captions import split_words, vocabulary

DIM = 128
LONGEST = 32  # words of a text


class AvatarEncoder(nn.Module):
    """Two towers onto one sphere: a smooth convolutional net, and a transformer over words.

    Its gradient guides training, so the image tower has smooth activations and average pooling.
    """

    def __init__(self) -> None:
        super().__init__()
        self._words = vocabulary()
        self._index = {word: i + 1 for i, word in enumerate(self._words)}
        self.image_tower = _image_tower()
        self.words = nn.Embedding(len(self._words) + 1, DIM, padding_idx=0)
        self.places = nn.Parameter(torch.randn(LONGEST, DIM) * 0.02)
        layer = nn.TransformerEncoderLayer(DIM, 4, 2 * DIM, 0.0, "gelu", batch_first=True)
        self.text_tower = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.text_out = nn.Linear(DIM, DIM)
        self.logit_scale = nn.Parameter(torch.tensor(2.7))
        self.logit_bias = nn.Parameter(torch.tensor(-6.0))

    @property
    def name(self) -> str:
        """What a direction file records as its guide."""
        return "avatars-64-clip"

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The words it knows."""
        return self._words

    def image_features(self, images: Tensor) -> Tensor:
        """(b, 3, height, width) in [-1, 1] -> (b, 128) of unit norm, differentiable."""
        if images.shape[-2:] != (SIZE, SIZE):
            images = functional.interpolate(
                images, (SIZE, SIZE), mode="bicubic", antialias=True, align_corners=False
            )
        return functional.normalize(self.image_tower(images), dim=1)

    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """n texts -> (n, 128) of unit norm.

        Unknown words are named in a warning.

        Raises:
            AsyrpError: a text without any word it knows.
        """
        for text in texts:
            self._check(text)
        return self.embed(self.tokens(texts))

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """Word indices (n, 32), 0 where a text has ended; unknown words are left out."""
        rows = torch.zeros(len(texts), LONGEST, dtype=torch.long)
        for row, text in zip(rows, texts, strict=True):
            known = [self._index[w] for w in split_words(text) if w in self._index][:LONGEST]
            row[: len(known)] = torch.tensor(known)
        return rows.to(self.places.device)

    def embed(self, tokens: Tensor) -> Tensor:
        """(n, length) word indices -> (n, 128) of unit norm."""
        tokens = tokens[:, : max(1, int((tokens > 0).sum(1).max()))]
        mask = tokens == 0
        hidden = self.words(tokens) + self.places[: tokens.shape[1]]
        hidden = self.text_tower(hidden, src_key_padding_mask=mask)
        weights = (~mask).float()[..., None]
        pooled = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
        return functional.normalize(self.text_out(pooled), dim=1)

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text that it does not know."""
        return [word for word in split_words(text) if word not in self._index]

    def _check(self, text: str) -> None:
        words, unknown = split_words(text), self.unknown_words(text)
        if not words:
            raise AsyrpError("the text is empty; needed: a few words, as in 'smiling face'")
        hints = sorted({hit for w in unknown for hit in difflib.get_close_matches(w, self._words)})
        known = ", ".join(hints or ["smiling", "angry", "glasses", "beard", "bald", "zombie"])
        if len(unknown) == len(words):
            raise AsyrpError(
                f"{self.name} knows no word of {text!r}; words it knows include: {known}"
            )
        if unknown:
            warnings.warn(
                f"{self.name} does not know {', '.join(unknown)} and leaves it out of {text!r}; "
                f"words it knows include: {known}",
                stacklevel=3,
            )


def _image_tower() -> nn.Sequential:
    def block(inputs: int, outputs: int) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        return [conv, nn.GroupNorm(8, outputs), nn.SiLU()]

    return nn.Sequential(
        nn.Conv2d(3, 24, 5, stride=2, padding=2),  # 32 x 32
        nn.SiLU(),
        *block(24, 32),
        nn.AvgPool2d(2),  # 16 x 16
        *block(32, 64),
        *block(64, 64),
        nn.AvgPool2d(2),  # 8 x 8
        *block(64, 128),
        *block(128, 128),
        nn.Conv2d(128, 48, 1),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(48 * 64, DIM),
    )


def load_encoder(path: Path | None = None) -> AvatarEncoder:
    """The shipped encoder (or one from a file), frozen, in float32."""
    default = Path(str(files("asyrp.world").joinpath("weights", "encoder.safetensors")))
    encoder = AvatarEncoder()
    state = {k: v.float() for k, v in load_file(path or default).items()}
    encoder.load_state_dict(state)
    return cast(AvatarEncoder, encoder.eval().requires_grad_(False))
