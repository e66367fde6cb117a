"""A small CLIP of a built-in domain: a convolutional net, and a transformer over known words."""

import difflib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from asyrp.errors import AsyrpError, first_line
from asyrp.runtime.precision import autocast
from asyrp.storage.files import save_tensors
from asyrp.storage.shipped import shipped
from asyrp.storage.untrusted.tensors import open_safetensors

DIM = 128
LONGEST = 32  # words of a text


def split_words(text: str) -> list[str]:
    """Lower-case words; hyphens and punctuation divide them."""
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


# Words that alone say nothing of a picture.
FUNCTION_WORDS = frozenset(split_words("a an the of with without no and in on that wearing"))


@dataclass(frozen=True)
class Language:
    """What an encoder reads and looks at; it travels in the header of its weights.

    words: of its captions, sorted. aliases: words read as one of them. examples: what an error
    suggests. widths: channels of the image tower from 32 x 32 to 8 x 8. text_common: the cosine
    that the texts of one noun share at least (CLIP's is about 0.85).
    """

    name: str
    words: tuple[str, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    examples: tuple[str, ...] = ("smiling", "glasses", "beard")
    widths: tuple[int, int, int, int] = (24, 32, 64, 128)
    size: int = 64
    text_common: float = 0.85


class WordEncoder(nn.Module):
    """Two towers onto one sphere: a smooth convolutional net, and a transformer over words.

    Its gradient guides training, so the image tower has smooth activations and average pooling.
    precision: of the image tower's products.
    """

    def __init__(self, language: Language) -> None:
        super().__init__()
        self.precision = torch.float32
        self.language, self.name = language, language.name
        # of the texts of a noun: "face" and "smiling face" then have CLIP's cosine
        self.text_common = language.text_common
        self._index = {word: i + 1 for i, word in enumerate(language.words)}
        self.image_tower = _image_tower(language.widths)
        self.words = nn.Embedding(len(language.words) + 1, DIM, padding_idx=0)
        self.places = nn.Parameter(torch.randn(LONGEST, DIM) * 0.02)
        layer = nn.TransformerEncoderLayer(DIM, 4, 2 * DIM, 0.0, "gelu", batch_first=True)
        self.text_tower = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.text_out = nn.Linear(DIM, DIM)
        self.logit_scale = nn.Parameter(torch.tensor(2.7))
        self.logit_bias = nn.Parameter(torch.tensor(-6.0))

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The words it was trained on, sorted; it also reads their plurals and aliases."""
        return self.language.words

    def image_features(self, images: Tensor) -> Tensor:
        """(b, 3, height, width) in [-1, 1] -> (b, 128) of unit norm, differentiable."""
        images = images.to(next(self.parameters()).device)
        size = (self.language.size, self.language.size)
        if images.shape[-2:] != size:
            images = functional.interpolate(
                images, size, mode="bicubic", antialias=True, align_corners=False
            )
        with autocast(images.device, self.precision):
            found = self.image_tower(images)
        return functional.normalize(found.to(images.dtype), dim=1)

    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """n texts -> (n, 128) of unit norm.

        Unknown words, and words beyond the first 32, are named in a warning and left out.

        Raises:
            AsyrpError: a text that is empty, or without any known word beside a, with, of ...
        """
        for text in texts:
            self._check(text)
        return self.embed(self.tokens(texts))

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """Word indices (n, 32), 0 where a text has ended; unknown words are left out."""
        rows = torch.zeros(len(texts), LONGEST, dtype=torch.long)
        for row, text in zip(rows, texts, strict=True):
            forms = [self._form(word) for word in split_words(text)]
            known = [self._index[form] for form in forms if form][:LONGEST]
            row[: len(known)] = torch.tensor(known)
        return rows.to(self.places.device)

    def embed(self, tokens: Tensor) -> Tensor:
        """(n, length) word indices -> (n, 128) of unit norm, differentiable."""
        tokens = tokens[:, : max(1, int((tokens > 0).sum(1).max()))]
        mask = tokens == 0
        hidden = self.words(tokens) + self.places[: tokens.shape[1]]
        hidden = self.text_tower(hidden, src_key_padding_mask=mask)
        weights = (~mask).float()[..., None]
        pooled = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
        return functional.normalize(self.text_out(pooled), dim=1)

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text that it leaves out."""
        return [word for word in split_words(text) if self._form(word) is None]

    def _form(self, word: str) -> str | None:
        """The vocabulary's form of a word: itself, a synonym, its singular or plural."""
        aliases = self.language.aliases
        forms = (word, aliases.get(word, ""), word.removesuffix("s"), f"{word}s")
        more = (aliases.get(word.removesuffix("s"), ""), word.removesuffix("es"))
        return next((form for form in forms + more if form in self._index), None)

    def _check(self, text: str) -> None:
        words, unknown = split_words(text), self.unknown_words(text)
        if not words:
            raise AsyrpError(f"a text must say something, got {text!r}; try 'smiling face'")
        known = [word for word in words if word not in unknown]
        if not set(known) - FUNCTION_WORDS:
            raise AsyrpError(
                f"{self.name} knows no word of {text!r} that says something; it knows "
                f"{len(self.vocabulary)} words, such as {self._near(unknown)}"
            )
        left_out = unknown + known[LONGEST:]
        if left_out:
            warnings.warn(
                f"{self.name} leaves these words of {text!r} out: {', '.join(left_out)}; "
                f"words it knows include {self._near(unknown)}",
                stacklevel=3,
            )

    def _near(self, words: Sequence[str]) -> str:
        readable = [*self.vocabulary, *self.language.aliases]
        close = [near for word in words for near in difflib.get_close_matches(word, readable, 2)]
        return ", ".join(dict.fromkeys([*close, *self.language.examples]))


def _image_tower(widths: tuple[int, int, int, int]) -> nn.Sequential:
    """(b, 3, 64, 64) -> (b, DIM): two convolutions at each of 32, 16 and 8 pixels a side."""

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        return [conv, nn.GroupNorm(8, outputs), nn.SiLU()]

    a, b, c, d = widths
    return nn.Sequential(
        *(nn.Conv2d(3, a, 5, stride=2, padding=2), nn.SiLU(), *block(a, b), nn.AvgPool2d(2)),
        *(*block(b, c), *block(c, c), nn.AvgPool2d(2)),
        *(*block(c, d), *block(d, d), nn.Conv2d(d, 48, 1), nn.SiLU()),
        nn.Flatten(),
        nn.Linear(48 * 64, DIM),
    )


def save_encoder(encoder: WordEncoder, path: Path) -> None:
    """Write weights in fp16 and the language in one safetensors file."""
    tensors = {key: value.half() for key, value in encoder.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, tensors, {"language": json.dumps(asdict(encoder.language))})


def shipped_encoder(domain: str) -> Path:
    """Where the encoder of a built-in domain lies, as in avatars."""
    return shipped(f"asyrp.domains.{domain}", "weights", "encoder.safetensors")


def load_encoder(path: Path) -> WordEncoder:
    """An encoder from a file, frozen, in eval mode and float32; AsyrpError for any other file."""
    try:
        with open_safetensors(path) as file:
            told = json.loads((file.metadata() or {}).get("language", "null"))
            lists = {k: tuple(v) for k, v in told.items() if isinstance(v, list)}
            encoder = WordEncoder(Language(**{**told, **lists}))
            encoder.load_state_dict({key: file.get_tensor(key) for key in file.keys()})
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise AsyrpError(
            f"{str(path)!r} is not an encoder of a built-in domain ({first_line(error)}); "
            "give a file that `save_encoder` wrote"
        ) from error
    return encoder.eval().requires_grad_(False)
