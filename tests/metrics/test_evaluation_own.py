"""`asyrp evaluate` with a CLIP, a SegFormer, an ArcFace and an image network from local folders."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    Dinov2Config,
    Dinov2Model,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessor,
    ViTImageProcessor,
)

from asyrp.cli import main
from asyrp.errors import AsyrpError
from asyrp.method.text_direction import new_text_direction
from asyrp.metrics.features import features_of
from asyrp.metrics.frechet import kid_of
from asyrp.scorers.clip import imagenet_templates, load_clip
from asyrp.scorers.vision import load_vision
from asyrp.storage.images import read_folder, write_png
from conftest import noise
from tiny_folders import save_clip

COUNT = 17


def save_vision(folder: Path) -> Path:
    sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Dinov2Config(**sizes, image_size=28, patch_size=14)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(41)
        Dinov2Model(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 28, "width": 28}).save_pretrained(folder)
    return folder


def save_segformer(folder: Path) -> Path:
    sizes = {"hidden_sizes": [8, 16], "num_attention_heads": [1, 2], "depths": [1, 1]}
    sizes |= {"sr_ratios": [2, 1], "patch_sizes": [3, 3], "strides": [2, 2], "mlp_ratios": [2, 2]}
    config = SegformerConfig(num_encoder_blocks=2, decoder_hidden_size=16, num_labels=3, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(31)
        SegformerForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def pictures(root: Path) -> list[str]:
    for name, step in (("images", 0.0), ("edits", 0.4), ("back", 0.05)):
        (root / name).mkdir()
        for index in range(COUNT):
            image = 0.5 * noise(3, 40, 32, seed=index) + step
            write_png(root / name / f"{index:02d}.png", image.clamp(-1, 1))
    rows = [f"{index:02d}.png,{'yes' if index < 9 else 'no'}" for index in range(COUNT)]
    (root / "images" / "table.csv").write_text("image_id,male\n" + "\n".join(rows) + "\n")
    return [str(root / name) for name in ("images/table.csv", "edits", "back")]


def test_a_vision_network_answers_as_transformers_does(tmp_path: Path) -> None:
    folder = save_vision(tmp_path / "dino")
    images, network = noise(3, 3, 28, 28).clamp(-1, 1), load_vision(folder)
    wanted = Dinov2Model.from_pretrained(folder).eval()
    with torch.no_grad():
        answer = wanted(pixel_values=images).pooler_output  # mean and deviation of 0.5 each
    torch.testing.assert_close(network(images), answer, atol=1e-5, rtol=1e-5)
    assert network.name == str(folder)
    with pytest.raises(AsyrpError, match="--features encoder"):
        load_vision(save_clip(tmp_path / "clip"))
    with pytest.raises(AsyrpError, match="needed an image network"):
        load_vision(tmp_path)


def test_a_vision_network_that_is_cut_short_is_told_in_a_line(tmp_path: Path) -> None:
    folder = save_vision(tmp_path / "dino")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(AsyrpError, match="needed an image network"):
        load_vision(folder)


def test_everything_from_local_folders(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from test_arcface import save_network

    clip, dino = save_clip(tmp_path / "clip"), save_vision(tmp_path / "dino")
    parts, face = save_segformer(tmp_path / "segformer"), save_network(tmp_path / "arcface.onnx")
    images, edits, back = pictures(tmp_path)
    texts = ["--source", "face", "--target", "smiling face", "--encoder", str(clip)]
    line = ["evaluate", "--images", images, "--edits", edits, "--reconstructions", back]
    line += [*texts, "--judge", "none", "--segmenter", str(parts), "--identity", str(face)]
    line += ["--features", str(dino), "--subgroups", "male", "--compare-with", "reconstruction"]
    for name in ("a", "b"):
        assert main([*line, "--out", str(tmp_path / name)]) == 0
    for name in ("table.md", "table.csv", "table.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    kept = json.loads((tmp_path / "a" / "table.json").read_text())
    assert {"s_dir", "lpips", "sc", "identity", "fid", "kid", "diversity"} <= set(kept["table"])
    assert kept["networks"]["features of FID and KID"] == str(dino)
    assert kept["networks"]["identity"] == "arcface"
    assert kept["S_dir"]["encoder"] == str(clip)
    assert kept["S_dir"]["templates"] == list(imagenet_templates())
    assert kept["S_dir"]["source image"] == "reconstruction"
    assert set(kept["groups"]["male"]) == {"yes", "no"}
    page = (tmp_path / "a" / "table.md").read_text()
    assert "79 templates" in page
    assert (tmp_path / "a" / "metrics.png").stat().st_size > 5000
    assert "higher is better" in page
    check_numbers(tmp_path, clip, dino, kept["table"])


def check_numbers(root: Path, clip: Path, dino: Path, table: dict[str, dict[str, float]]) -> None:
    """S_dir and KID are those of the networks' own features."""
    source, edit, back = (
        torch.stack([one.image for one in read_folder(root / name, (40, 32))])
        for name in ("images", "edits", "back")
    )
    encoder = load_clip(str(clip))
    moved = encoder.image_features(edit) - encoder.image_features(back)
    guide = new_text_direction(encoder, "face", "smiling face")
    cosines = torch.nn.functional.cosine_similarity(moved, guide.direction[None]).detach().numpy()
    assert table["s_dir"]["value"] == pytest.approx(float(np.mean(cosines)), abs=1e-5)
    features = [features_of(load_vision(dino), x) for x in (source, edit)]
    assert table["kid"]["value"] == pytest.approx(kid_of(*features), rel=1e-4)
