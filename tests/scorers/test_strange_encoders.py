"""Networks of other kinds than those that encoders, features and segmenters are made of."""

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from asyrp.errors import AsyrpError
from asyrp.scorers.clip import load_clip
from asyrp.scorers.vision import load_vision
from tiny_folders import PROCESSOR, save_tokenizer, text_config

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1} | {
    "num_attention_heads": 2
}
PATCHES = {**SIZES, "patch_size": 4}


def saved(folder: Path, name: str, **config: Any) -> Path:
    if not hasattr(transformers, f"{name}Model"):
        pytest.skip(f"this transformers has no {name}")
    settings = getattr(transformers, f"{name}Config")(**config)
    getattr(transformers, f"{name}Model")(settings).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return folder


def test_an_encoder_of_pictures_of_any_size_is_refused(tmp_path: Path) -> None:
    """SigLIP 2's NaFlex reads patches, not pictures."""
    texts = {"vocab_size": text_config().vocab_size, "projection_size": 16, **SIZES}
    folder = saved(tmp_path, "Siglip2", text_config=texts, vision_config=PATCHES)
    save_tokenizer(folder)
    with pytest.raises(AsyrpError, match="pictures of one size; the Siglip2Model of .* image_size"):
        load_clip(folder)


def test_a_network_of_films_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path, "Vivit", image_size=28, tubelet_size=[1, 14, 14], **SIZES)
    with pytest.raises(AsyrpError, match="needed a network of RGB pictures; .* fails on one: "):
        load_vision(folder)


def test_a_masked_autoencoder_is_taken_only_without_its_masks(tmp_path: Path) -> None:
    """Its features are those of a random quarter of the picture, another one each time."""
    folder = saved(tmp_path, "ViTMAE", image_size=28, **PATCHES)
    with pytest.raises(AsyrpError, match="another thing of the same picture each time.*mask_ratio"):
        load_vision(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "mask_ratio": 0.0}))
    assert load_vision(folder).name == str(folder)
