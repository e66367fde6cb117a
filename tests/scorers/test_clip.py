"""CLIP through transformers, on a tiny real folder with random weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import (
    BertConfig,
    BertModel,
    CLIPImageProcessor,
    CLIPVisionConfig,
    SiglipConfig,
    SiglipModel,
    VisionTextDualEncoderConfig,
)

from asyrp.errors import AsyrpError
from asyrp.method.protocols import TextImageEncoder
from asyrp.method.text_direction import new_text_direction, text_cosine, text_direction
from asyrp.scorers.clip import BATCH, ClipEncoder, imagenet_templates, load_clip
from asyrp.scorers.preprocessing import View, prepare, view_of
from asyrp.storage.images import from_uint8
from asyrp.storage.untrusted.encoder_configs import unread
from conftest import noise
from tiny_folders import LONGEST, save_clip, save_tokenizer, text_config

SIDES = {"shortest_edge": 32}
CROP = {"height": 32, "width": 32}
SIZES = [(32, 32), (64, 64), (47, 80), (80, 47), (20, 24), (33, 32)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def encoder(folder: Path) -> ClipEncoder:
    return load_clip(folder)


def picture(height: int, width: int) -> np.ndarray:
    """Smooth colours and a hard edge, away from 0 and 255, where PIL would clip overshoots."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [120 + 50 * np.sin(x / (2 + c) + c) * np.cos(y / (4 - c)) for c in range(3)]
    values = np.stack(waves, -1)
    values[: height // 3, : width // 2] += 20
    return values.round().astype(np.uint8)


def theirs(height: int, width: int) -> Tensor:
    processor = CLIPImageProcessor(size=SIDES, crop_size=CROP)
    made = processor(images=Image.fromarray(picture(height, width)), return_tensors="pt")
    pixels: Tensor = made["pixel_values"]
    return pixels


def told(features: Any) -> Tensor:
    """transformers 5 wraps what transformers 4 returned as a tensor."""
    found: Tensor = features if isinstance(features, Tensor) else features.pooler_output
    return found


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_prepares_a_picture_as_transformers_does(
    encoder: ClipEncoder, height: int, width: int
) -> None:
    ours = prepare(from_uint8(picture(height, width)[None]), encoder.view)
    level = 1 / 255 / 0.26  # PIL rounds to whole levels, after each of its two passes
    assert ours.shape == (1, 3, 32, 32)
    assert (ours - theirs(height, width)).abs().max() <= 1.02 * level


@torch.no_grad()
def test_features_are_those_of_the_model_behind_its_own_processor(encoder: ClipEncoder) -> None:
    wanted = told(encoder.model.get_image_features(pixel_values=theirs(47, 80)))
    found = encoder.image_features(from_uint8(picture(47, 80)[None]))
    torch.testing.assert_close(found, wanted / wanted.norm(dim=1, keepdim=True), atol=3e-3, rtol=0)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(1))


def test_antialias_and_the_side_of_the_crop_matter() -> None:
    """What the tolerance above would not forgive."""
    image = from_uint8(picture(47, 80)[None])
    ours = prepare(image, View(32, (32, 32)))
    plain = torch.nn.functional.interpolate(image / 2 + 0.5, (32, 54), mode="bicubic")
    centred = (plain[:, 0, :, 11:43] - 0.4815) / 0.2686
    assert (centred - ours[:, 0]).abs().max() > 0.05
    shifted = prepare(image.roll(2, -1), View(32, (32, 32)))
    assert (shifted - ours).abs().max() > 0.05


def test_values_outside_of_the_range_are_not_clamped(encoder: ClipEncoder) -> None:
    image = torch.full((1, 3, 32, 32), 1.5)
    assert (prepare(image, encoder.view) > prepare(image.clamp(-1, 1), encoder.view)).all()


def test_gradients_reach_pictures_of_any_size(encoder: ClipEncoder) -> None:
    image = noise(2, 3, 24, 40).requires_grad_()
    target = encoder.text_features(["smile"])[0]
    (encoder.image_features(image) @ target).sum().backward()
    assert image.grad is not None
    assert torch.isfinite(image.grad).all()
    assert (image.grad.abs().amax((1, 2, 3)) > 0).all()


@torch.no_grad()
def test_texts_are_those_of_the_model_in_any_batch(encoder: ClipEncoder) -> None:
    texts = ["a", "smiling face", "face", "a"]
    found = encoder.text_features(texts)
    for text, row in zip(texts, found, strict=True):
        tokens = encoder.tokenizer(text, return_tensors="pt")
        wanted = told(encoder.model.get_text_features(**tokens))[0]
        torch.testing.assert_close(row, wanted / wanted.norm(), atol=1e-6, rtol=1e-5)
    assert torch.equal(found[0], found[3])
    assert not torch.allclose(found[0], found[1], atol=1e-3)


def test_each_text_is_embedded_once_and_in_batches(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, sizes = load_clip(folder), []
    original = encoder._embed

    def counted(texts: list[str]) -> Tensor:
        sizes.append(len(texts))
        return original(texts)

    monkeypatch.setattr(encoder, "_embed", counted)
    texts = [f"text {i}" for i in range(BATCH + 3)]
    first = encoder.text_features([*texts, "text 0"])
    assert sizes == [BATCH, 3]
    assert torch.equal(encoder.text_features(texts), first[:-1])
    assert sizes == [BATCH, 3]


def test_the_direction_uses_the_templates_and_the_cosine_the_raw_texts(
    encoder: ClipEncoder,
) -> None:
    assert len(encoder.templates) == len(set(encoder.templates)) == 79
    assert all(template.count("{}") == 1 for template in encoder.templates)
    guide = new_text_direction(encoder, "a", "b")
    differences = [
        encoder.text_features([t.format("b")])[0] - encoder.text_features([t.format("a")])[0]
        for t in encoder.templates
    ]
    mean = torch.stack(differences).mean(0)
    torch.testing.assert_close(guide.direction, mean / mean.norm())
    assert not torch.allclose(guide.direction, text_direction(encoder, "a", "b"), atol=1e-2)
    both = encoder.text_features(["a", "b"])
    assert guide.cosine == pytest.approx(float(both[0] @ both[1]), abs=1e-6)
    assert text_cosine(encoder, "a", "b") == guide.cosine  # text_common is 0


def test_the_templates_are_the_released_ones() -> None:
    assert imagenet_templates()[0] == "a bad photo of a {}."
    assert imagenet_templates()[-1] == "a tattoo of the {}."
    assert "a photo of many {}." not in imagenet_templates()  # the 80th, of CLIP's own list


def test_is_a_frozen_text_image_encoder(encoder: ClipEncoder, folder: Path) -> None:
    measured: TextImageEncoder = encoder
    assert measured.name == str(folder)
    assert measured.text_common == 0.0
    assert not encoder.training
    assert not any(p.requires_grad for p in encoder.parameters())


@torch.no_grad()
def test_precision_of_the_products_stays_inside(encoder: ClipEncoder, folder: Path) -> None:
    half = load_clip(folder)
    half.precision = torch.bfloat16
    image = noise(2, 3, 40, 40)
    for ours, exact in (
        (half.image_features(image), encoder.image_features(image)),
        (half.text_features(["face"]), encoder.text_features(["face"])),
    ):
        assert ours.dtype == exact.dtype == torch.float32
        torch.testing.assert_close(ours.norm(dim=1), torch.ones(len(ours)))
        torch.testing.assert_close(ours, exact, atol=0.05, rtol=0)
    assert not torch.equal(half.image_features(image), encoder.image_features(image))


def test_the_processor_file_of_a_folder_is_obeyed(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    processor = CLIPImageProcessor(size=SIDES, crop_size=CROP, image_mean=[0.1, 0.2, 0.3])
    processor.save_pretrained(tmp_path)
    assert load_clip(tmp_path).view == View(32, (32, 32), (0.1, 0.2, 0.3))


@pytest.mark.parametrize("part", ["", "vision_config", "text_config"])
def test_fields_that_no_encoder_reads_are_named(folder: Path, tmp_path: Path, part: str) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (config[part] if part else config)["window_size"] = 7
    (tmp_path / "config.json").write_text(json.dumps(config))
    name = f"{part}.window_size".removeprefix(".")
    with pytest.warns(UserWarning, match=f"passed over in .*: {name} = 7; CLIP"):
        load_clip(tmp_path)


def test_two_encoders_of_any_kind_have_the_fields_of_each() -> None:
    parts = CLIPVisionConfig(), BertConfig()
    built = VisionTextDualEncoderConfig.from_vision_text_configs(*parts)
    config = json.loads(built.to_json_string(use_diff=False))
    assert dict(unread(config, built)) == {}
    config["vision_config"]["window_size"] = 7
    assert dict(unread(config, built)) == {"vision_config.window_size": 7}


def test_what_transformers_4_wrote_into_every_config_is_no_news(
    folder: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["text_config"] |= {"num_beams": 1, "torchscript": False, "top_p": 1.0, "use_cache": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    load_clip(tmp_path)
    assert not [one for one in recwarn if "passed over" in str(one.message)]


def test_views_of_old_and_new_processor_files() -> None:
    assert view_of({}, 224) == View(224, (224, 224))
    assert view_of({"size": 336, "crop_size": 336}, 336) == View(336, (336, 336))
    square = {"size": {"height": 256, "width": 256}, "do_center_crop": None}
    assert view_of(square, 256) == View((256, 256), None)
    with pytest.raises(AsyrpError, match="resampling must be one of 2, 3; got 1"):
        view_of({"resample": 1}, 224)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": {"longest_edge": 224}}, "size"),
        ({"size": {"shortest_edge": 200}, "crop_size": 224}, "crop"),
        ({"do_resize": False}, "do_resize"),
        ({"do_rescale": False}, "do_rescale"),
        ({"image_mean": 3}, "image_mean"),
        ({"image_mean": [0.5]}, "image_mean"),  # which would be spread over the channels
        ({"image_mean": [0.5] * 4, "image_std": [0.5] * 4}, "image_mean"),
        ({"size": [224], "do_center_crop": False}, "size"),
        ({"size": {"height": True, "width": True}, "do_center_crop": False}, "size"),
        ({"resample": [3]}, "resampling"),
    ],
)
def test_views_that_are_not_understood_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AsyrpError, match=message):
        view_of(settings, 224)


def test_a_processor_that_does_not_normalise_is_obeyed() -> None:
    found = view_of({"do_normalize": False, "image_mean": [0.5] * 3}, 224)
    assert (found.mean, found.std) == ((0.0,) * 3, (1.0,) * 3)


@pytest.mark.filterwarnings("ignore:passed over .*projection_size")  # by older transformers
@torch.no_grad()
def test_siglip_works_as_well(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    words = text_config().vocab_size
    config = SiglipConfig(
        text_config={**sizes, "vocab_size": words, "max_position_embeddings": LONGEST}
        | {"num_attention_heads": 2, "projection_size": 16},
        vision_config={**sizes, "image_size": 32, "patch_size": 8, "num_attention_heads": 2},
    )
    SiglipModel(config).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    processor = {"size": CROP, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    siglip = load_clip(tmp_path)
    tokens = siglip.tokenizer(["face"], padding="max_length", return_tensors="pt")
    wanted = told(siglip.model.get_text_features(**tokens))
    found = siglip.text_features(["face", "a much wider"])[:1]
    torch.testing.assert_close(found, wanted / wanted.norm())
    assert siglip.image_features(noise(1, 3, 50, 40)).shape == (1, 16)


def test_a_text_that_is_too_long_is_refused(encoder: ClipEncoder) -> None:
    with pytest.raises(AsyrpError, match=f"at most {LONGEST} tokens of text; 'far too long") as got:
        encoder.text_features(["far too long for an encoder that reads so few tokens", "a"])
    assert "\n" not in str(got.value)


def test_what_is_no_encoder_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYRP_OFFLINE", "1")
    bert = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    BertModel(bert).save_pretrained(tmp_path / "bert")
    save_tokenizer(tmp_path / "bert")
    (tmp_path / "empty").mkdir()
    for source, message in {
        tmp_path / "bert": "is a BertModel",
        tmp_path / "empty": "does not load",
        "nobody/no-such-encoder": "does not load .*leave offline mode",
    }.items():
        with pytest.raises(AsyrpError, match=message) as got:
            load_clip(source)
        assert "\n" not in str(got.value)


@pytest.mark.slow
def test_the_real_weights_give_the_cosines_of_the_paper() -> None:
    """Needs openai/clip-vit-base-patch16 in the Hub's cache or a network: run it where it is.

    The brackets are what the released LPIPS table of CelebA-HQ says of the published t_edit.
    """
    try:
        encoder = load_clip()
    except AsyrpError as error:
        pytest.skip(str(error))
    pairs = {
        ("face", "smiling face"): (0.892, 0.900),
        ("face", "angry face"): (0.885, 0.892),
        ("person", "young person"): (0.905, 0.909),
        ("Person", "Nicolas Cage"): (0.706, 0.711),
        ("Human", "Neanderthal"): (0.801, 0.806),
        ("photo", "self-portrait by Frida Kahlo"): (0.442, 0.443),
    }
    for (source, target), (low, high) in pairs.items():
        assert low - 2e-3 <= text_cosine(encoder, source, target) <= high + 2e-3
