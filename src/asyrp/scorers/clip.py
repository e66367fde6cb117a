"""CLIP through transformers, the text-image encoder of the paper (Kwon et al. 2023)."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from asyrp.errors import AsyrpError
from asyrp.runtime.precision import autocast
from asyrp.scorers.preprocessing import View, processor_settings, view_of
from asyrp.scorers.pretrained import Frozen, opening, pretrained, tried
from asyrp.storage.shipped import shipped
from asyrp.storage.untrusted.revisions import pinned

DEFAULT = "openai/clip-vit-base-patch16"  # as in the paper
BATCH = 32  # texts at a time


class ClipEncoder(Frozen):
    """A frozen CLIP-like model of transformers as a `TextImageEncoder`.

    Features are float32 whatever the precision of the weights; those of texts are kept.
    precision: of the image tower's products.

    Args:
        model: with get_image_features and get_text_features, as `CLIPModel`.
        view: how it wants its pictures. name: what a direction file records.
    """

    text_common = 0.0  # its texts lie in CLIP's narrow cone as they are

    def __init__(self, model: Any, tokenizer: Any, view: View, name: str):
        super().__init__(model, view, name)
        self.tokenizer, self.precision = tokenizer, torch.float32
        self._texts: dict[str, Tensor] = {}

    @property
    def templates(self) -> tuple[str, ...]:
        """The sentences that the text direction is averaged over."""
        return imagenet_templates()

    def image_features(self, images: Tensor) -> Tensor:
        """(b, 3, height, width) in [-1, 1], of any size -> (b, d) of unit norm, differentiable."""
        pixels = self.pixels(images)
        with autocast(pixels.device, self.precision):
            found = self.model.get_image_features(pixel_values=pixels)
        return _unit(found)

    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """n texts -> (n, d) of unit norm; AsyrpError where one is longer than the encoder reads."""
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        for start in range(0, len(new), BATCH):
            part = new[start : start + BATCH]
            self._texts |= zip(part, self._embed(part).cpu(), strict=True)
        device = next(self.model.parameters()).device
        return torch.stack([self._texts[text] for text in texts]).to(device)

    def _embed(self, texts: list[str]) -> Tensor:
        config = self.model.config
        longest = config.text_config.max_position_embeddings
        padding: dict[str, Any] = {"padding": True}
        if str(config.model_type).startswith("siglip"):  # trained on texts of the full length
            padding = {"padding": "max_length", "max_length": longest}
        tokens = self.tokenizer(texts, **padding, return_tensors="pt")
        count = tokens["input_ids"].shape[1]
        if count > longest:
            long = max(texts, key=len)
            raise AsyrpError(
                f"{self.name!r} reads at most {longest} tokens of text; {long[:40]!r}... has "
                f"{count}; shorten it"
            )
        device = next(self.model.parameters()).device
        return _unit(self.model.get_text_features(**tokens.to(device)))


@cache
def imagenet_templates() -> tuple[str, ...]:
    """The 79 of the official code, with `{}` where the text goes (data/clip_templates.md)."""
    path = shipped("asyrp.scorers", "data", "clip_templates.txt")
    return tuple(path.read_text(encoding="utf-8").splitlines())


def _unit(features: Any) -> Tensor:
    """transformers 5 wraps what transformers 4 returned as a tensor."""
    found = features if isinstance(features, Tensor) else features.pooler_output
    return functional.normalize(found.float(), dim=1)


def check_is_transformers(source: str | Path) -> None:
    """Refuse a file, and a folder of another library, naming what it is."""
    folder, what = Path(source), ""
    if folder.is_file():
        what = "is a single file"
    elif any(folder.glob("open_clip_*")) and not (folder / "config.json").is_file():
        what = "is a folder of open_clip"
    if what:
        raise AsyrpError(
            f"{str(source)!r} {what}; needed a CLIP-like model in the form of transformers, with "
            "config.json and model.safetensors: most have one on the Hub (of OpenCLIP's, "
            "laion/CLIP-ViT-B-32-laion2B-s34B-b79K), and transformers' script "
            "convert_clip_original_pytorch_to_hf.py makes one of OpenAI's"
        )


def load_clip(source: str | Path = DEFAULT, device: str | torch.device = "cpu") -> ClipEncoder:
    """A CLIP-like encoder from a folder or the Hub; AsyrpError where there is none."""
    check_is_transformers(source)
    give = f"a local folder or a Hub id such as {DEFAULT}"
    with opening(source, "a CLIP-like encoder", give) as local:
        from transformers import AutoModel, AutoTokenizer

        model = pretrained(AutoModel, source, local)
        name, revision = pinned(source)
        tokenizer = AutoTokenizer.from_pretrained(
            name, revision=revision, local_files_only=local, trust_remote_code=False
        )
        settings = processor_settings(source)
    _check_towers(model, source, bool(settings))
    side = int(model.config.vision_config.image_size)
    view = view_of(settings, side)
    if (view.crop or view.size) != (side, side):
        raise AsyrpError(
            f"{str(source)!r} looks at pictures of {side} x {side}, and its processor's settings "
            f"make others ({view.crop or view.size}); get the folder from its source again"
        )
    encoder = ClipEncoder(
        model.to(device=device, dtype=torch.float32), tokenizer, view, str(source)
    )
    tried(lambda x: encoder.image_features(x) @ encoder.text_features(["a"]).T, source)
    return encoder


def _check_towers(model: Any, source: str | Path, told: bool) -> None:
    """told: whether a file says how pictures are normalised."""
    if not hasattr(model, "get_image_features") or not hasattr(model, "get_text_features"):
        raise AsyrpError(
            f"needed a CLIP-like encoder with an image and a text tower; {str(source)!r} is a "
            f"{type(model).__name__}"
        )
    if not isinstance(getattr(model.config.vision_config, "image_size", None), int):
        raise AsyrpError(
            f"needed an encoder of pictures of one size; the {type(model).__name__} of "
            f"{str(source)!r} has no image_size in the vision_config of its config.json"
        )
    if not told and model.config.model_type != "clip":
        raise AsyrpError(
            f"{str(source)!r} has no preprocessor_config.json, which says how its pictures are "
            f"normalised, and only CLIP's is known here; add the one of this {type(model).__name__}"
        )
