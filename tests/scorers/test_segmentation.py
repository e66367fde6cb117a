"""Segmentation through a tiny SegFormer folder with random weights, and the overlap of masks."""

import json
from pathlib import Path

import pytest
import torch
from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

from asyrp.errors import AsyrpError
from asyrp.metrics.structure import Segmenting, mean_iou
from asyrp.scorers.segmentation import SemanticSegmenter, load_segmenter
from asyrp.storage.images import to_uint8
from conftest import noise

CLASSES = ("background", "skin", "hair")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("segformer")
    config = SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[3, 3],
        strides=[2, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        id2label=dict(enumerate(CLASSES)),
        label2id={name: i for i, name in enumerate(CLASSES)},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(31)
        model = SegformerForSemanticSegmentation(config)
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.3)
        model.eval()
        with torch.no_grad():  # else one class is everywhere
            mean = model(pixel_values=noise(4, 3, 32, 32)).logits.mean((0, 2, 3))
            model.decode_head.classifier.bias -= mean
        model.save_pretrained(path)
    SegformerImageProcessor(size={"height": 32, "width": 32}).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def segmenter(folder: Path) -> SemanticSegmenter:
    return load_segmenter(folder)


@torch.no_grad()
def test_masks_are_those_of_transformers(segmenter: SemanticSegmenter, folder: Path) -> None:
    images = torch.nn.functional.interpolate(noise(2, 3, 6, 6) * 0.4, (48, 40), mode="bicubic")
    images = torch.from_numpy(to_uint8(images)).permute(0, 3, 1, 2) / 127.5 - 1
    processor = SegformerImageProcessor.from_pretrained(folder)
    inputs = processor(list(to_uint8(images)), return_tensors="pt")
    output = segmenter.model(**inputs)
    wanted = processor.post_process_semantic_segmentation(output, [(48, 40)] * 2)
    masks = segmenter(images)
    assert masks.shape == (2, 48, 40)
    assert masks.dtype == torch.int64
    assert len(masks.unique()) > 1
    assert (masks == torch.stack(wanted)).float().mean() > 0.99  # PIL rounds, we do not


def test_is_a_frozen_segmenter(segmenter: SemanticSegmenter, folder: Path) -> None:
    measured: Segmenting = segmenter
    assert measured.name == str(folder)
    assert segmenter.labels == CLASSES
    assert not any(p.requires_grad for p in segmenter.parameters())
    assert not segmenter.model.training


def test_consistency_of_equal_and_of_other_pictures(segmenter: SemanticSegmenter) -> None:
    a = torch.nn.functional.interpolate(noise(10, 3, 5, 5), (32, 32))
    b = torch.cat([a[:1], -a[1:].flip(-1)])
    scores = mean_iou(segmenter.masks(a), segmenter.masks(b))
    assert scores[0] == 1
    assert scores[1:].min() < 1
    assert segmenter.masks(a).shape == (10, 32, 32)


def test_refusals_are_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYRP_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "bare" / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    for source, message in {
        tmp_path / "empty": "does not load",
        tmp_path / "bert": "does not load",
        tmp_path / "bare": "has no preprocessor_config.json",
        "nobody/no-such-network": "leave offline mode",
    }.items():
        with pytest.raises(AsyrpError, match=message) as got:
            load_segmenter(source)
        assert "\n" not in str(got.value)
