"""Encoders and distances by name."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from asyrp.errors import AsyrpError
from asyrp.method.protocols import templates_of
from asyrp.networks.latent_pipeline import load_latent
from asyrp.scorers.clip import ClipEncoder
from asyrp.scorers.decoded import Decoded
from asyrp.scorers.load import distance_for, encoder_for, load_distance, load_encoder
from asyrp.scorers.lpips import LPIPS
from conftest import noise, tiny_model
from tiny_folders import save_clip, save_ldm


def test_built_in_names() -> None:
    encoder, distance = load_encoder("avatars-64-clip"), load_distance("st-lpips-alex")
    assert (encoder.name, distance.name) == ("avatars-64-clip", "st-lpips-alex")
    assert templates_of(encoder) == ("{}",)


def test_folders_and_files(tmp_path: Path) -> None:
    save_clip(tmp_path / "clip")
    encoder = load_encoder(str(tmp_path / "clip"))
    assert isinstance(encoder, ClipEncoder)
    assert len(templates_of(encoder)) == 79
    network = LPIPS("alex")
    torch.nn.init.constant_(network.heads[2], 7.0)
    torch.save(network.state_dict(), tmp_path / "alex.pth")
    distance = load_distance(str(tmp_path / "alex.pth"))
    assert isinstance(distance, LPIPS)
    assert distance.name == "lpips-alex"
    assert (distance.heads[2] == 7).all()


def test_names_of_real_networks_reach_their_loaders(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def clip(*given: object) -> SimpleNamespace:
        asked.append(given)
        return SimpleNamespace()

    monkeypatch.setattr("asyrp.scorers.load.load_clip", clip)
    monkeypatch.setattr(
        "asyrp.scorers.load.load_lpips", lambda *given, **more: asked.append((given, more))
    )
    assert load_encoder("clip").precision == torch.float32
    assert load_encoder("laion/some-clip", "meta", torch.bfloat16).precision == torch.bfloat16
    load_distance("lpips-vgg", "meta")
    assert asked == [
        ("openai/clip-vit-base-patch16", "cpu"),
        ("laion/some-clip", "meta"),
        (("vgg",), {"device": "meta"}),
    ]


def test_latent_networks_get_decoded_pictures(tmp_path: Path) -> None:
    config = save_ldm(tmp_path) / "unet" / "config.json"
    config.write_text(config.read_text().replace('"sample_size": 8', '"sample_size": 16'))
    model = load_latent(tmp_path)
    encoder, distance = (
        encoder_for(model, "avatars-64-clip"),
        distance_for(model, "st-lpips-alex"),
    )
    assert isinstance(encoder, Decoded)
    assert isinstance(distance, Decoded)
    x0 = noise(2, 3, 16, 16)  # decodes to 32 x 32
    wanted = load_encoder("avatars-64-clip").image_features(model.space.decode(x0))
    torch.testing.assert_close(encoder.image_features(x0), wanted)
    assert distance(x0, x0 + 1).shape == (2,)
    pixels = tiny_model(sample_size=32)
    assert encoder_for(pixels, "avatars-64-clip").name == "avatars-64-clip"
    assert not isinstance(distance_for(pixels, "st-lpips-alex"), Decoded)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AsyrpError, match="unknown encoder 'klip'; needed one of: avatars-64-clip"):
        load_encoder("klip")
    with pytest.raises(AsyrpError, match="unknown distance 'ssim'; needed one of: st-lpips-alex"):
        load_distance("ssim")
