"""Photographs: splits, captions, attacks, and a whole training on pictures that the test draws."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from asyrp.domains.augmentation import moved
from asyrp.domains.avatars.diffusion import new_scheduler, v_loss
from asyrp.domains.photographs import train_diffusion, train_encoder, train_judge
from asyrp.domains.photographs.captions import (
    ALIASES,
    ATTRIBUTES,
    language,
    pair,
    phrase,
    questions,
    vocabulary,
)
from asyrp.domains.photographs.judge import AttributeJudge, Reading, load_judge, save_judge
from asyrp.domains.photographs.pictures import CLEARED, Labelled, read
from asyrp.errors import AsyrpError
from asyrp.scorers.word_encoder import WordEncoder
from conftest import noise
from places import call, results

TINY = {
    "sample_size": 64,
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D"),
    "norm_num_groups": 4,
    "layers_per_block": 1,
    "attention_head_dim": 8,
}


def labelled(count: int, seed: int = 0) -> Labelled:
    rng = np.random.default_rng(seed)
    names = [f"{i:06d}.jpg" for i in range(count)]
    marks = rng.random((count, len(ATTRIBUTES))) < 0.4
    return Labelled(
        rng.integers(256, size=(count, 64, 64, 3), dtype=np.uint8), names, marks, ATTRIBUTES
    )


def written(folder, count: int = 40):
    """A folder of pictures and their table, as the command reads them."""
    data = labelled(count)
    (folder / "faces").mkdir()
    for name, picture in zip(data.names, data.pictures, strict=True):
        Image.fromarray(np.tile(picture, (2, 2, 1))[:109, :89]).save(folder / "faces" / name)
    rows = ["\t".join(map(str, row.astype(int))) for row in data.attributes]
    lines = [f"{name}\t{row}" for name, row in zip(data.names, rows, strict=True)]
    table = folder / "attributes.tsv"
    table.write_text("\n".join(["\t".join(["file", *ATTRIBUTES]), *lines]))
    return folder / "faces", table


def test_splits_share_no_picture_and_the_network_never_sees_what_was_cleared() -> None:
    data = labelled(400)
    kinds = {
        name: set(data.split(name).names) for name in ("encoder", "judge", "validation", "test")
    }
    assert sum(map(len, kinds.values())) == len(set().union(*kinds.values())) == 400
    shown = data.split("diffusion")
    assert set(shown.names) < kinds["encoder"] | kinds["judge"]
    assert not any(shown.column(value).any() for value in CLEARED)


def test_pictures_are_cropped_and_kept(tmp_path) -> None:
    images, table = written(tmp_path)
    data = read(images, table, tmp_path / "cache")
    assert data.pictures.shape == (40, 64, 64, 3)
    wanted = Image.open(images / "000003.jpg").convert("RGB").crop((10, 26, 80, 96))
    assert np.array_equal(data.pictures[3], np.asarray(wanted.resize((64, 64), 1)))
    (images / "000003.jpg").unlink()
    assert np.array_equal(read(images, table, tmp_path / "cache").pictures, data.pictures)


def test_a_picture_that_is_missing_and_a_table_of_another_kind(tmp_path) -> None:
    images, table = written(tmp_path)
    (images / "000003.jpg").unlink()
    with pytest.raises(AsyrpError, match=r"000003\.jpg"):
        read(images, table, tmp_path / "cache")
    table.write_text("name,smile\na.jpg,1\n")
    with pytest.raises(AsyrpError, match="file"):
        read(images, table, tmp_path / "cache")


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_caption_is_in_the_vocabulary(name: str) -> None:
    encoder, rng = WordEncoder(language()), np.random.default_rng(0)
    texts = [text for side in questions(name) for text in side]
    texts += [t for shows in (True, False) for t in pair(name, shows, rng)]
    texts += [phrase({name: True, "Young": False}, rng)]
    assert not [word for text in texts for word in encoder.unknown_words(text)]
    assert all(questions(name))


def test_aliases_stand_for_words_that_are_read() -> None:
    assert set(ALIASES.values()) <= set(vocabulary())
    assert not set(ALIASES) & set(vocabulary())


def test_an_attack_stays_within_its_radius_and_raises_the_loss() -> None:
    images, towards = noise(4, 3, 8, 8, seed=1) * 0.2, noise(3, 8, 8, seed=2)

    def loss(x: torch.Tensor) -> torch.Tensor:
        return (x * towards).sum()

    radius = torch.tensor([0.0, 0.5, 1.0, 2.5])
    found = train_encoder.attacked(images, radius, loss)
    lengths = (found - images).flatten(1).norm(dim=1)
    assert torch.allclose(lengths, radius, atol=1e-5)
    gained = ((found - images) * towards).flatten(1).sum(1)
    assert torch.allclose(gained, radius * towards.norm(), rtol=1e-4, atol=1e-4)


def test_moving_keeps_the_picture_within_its_range() -> None:
    images = noise(6, 3, 16, 16).tanh()
    found = moved(images, torch.Generator().manual_seed(0))
    assert found.shape == images.shape
    assert float(found.abs().max()) <= 1
    assert torch.equal(found, moved(images, torch.Generator().manual_seed(0)))


def test_thresholds_balance_both_errors() -> None:
    rng = np.random.default_rng(0)
    yes, no = rng.normal(3, 1, 500), rng.normal(0, 1, 500)
    cut = train_judge._balanced(yes, no)
    assert abs((yes < cut).mean() - (no >= cut).mean()) < 0.02


def test_a_judge_survives_a_file_and_judges_what_it_reads_well(tmp_path) -> None:
    judge = AttributeJudge({"Smiling": Reading(0.5, 0.97), "Young": Reading(-1.0, 0.8)}).eval()
    assert judge.trusted == ("Smiling",)
    save_judge(judge, tmp_path / "judge.safetensors")
    again, images = load_judge(tmp_path / "judge.safetensors"), noise(2, 3, 64, 64)
    assert again.readings == judge.readings
    shift = again(images) - again.log_odds(images)
    assert torch.allclose(shift, torch.tensor([0.5, -1.0]).expand(2, 2), atol=1e-6)
    with pytest.raises(AsyrpError, match="train one with"):
        load_judge(tmp_path / "absent.safetensors")


def test_the_command_makes_a_domain_of_anybodys_pictures(tmp_path, monkeypatch) -> None:
    images, table = written(tmp_path, 60)
    monkeypatch.setattr(train_diffusion, "UNET_CONFIG", TINY)
    for module in (train_diffusion, train_encoder, train_judge):
        monkeypatch.setattr(module, "BATCH", 4)
    monkeypatch.setattr(train_encoder, "ROBUST", 1)
    given = ["--domain", "photographs-64", "--out", str(tmp_path / "out"), "--steps", "2"]
    given += ["--cache", str(tmp_path / "cache"), "--images", str(images)]
    assert call("world", "train", *given, "--attributes", table) == 0
    names = {*results(tmp_path / "out")}
    cards = {"photographs-64.md", "encoder.md", "judge.md"}
    assert names == cards | {"photographs-64", "encoder.safetensors", "judge.safetensors"}
    for card in cards:
        text = (tmp_path / "out" / card).read_text()
        assert "non-commercial" in text
        assert "{" not in text


def test_a_cap_weighs_grain_less_and_nothing_else() -> None:
    class Silent:
        """Says v = 0, and remembers at which timesteps."""

        def __call__(self, x: torch.Tensor, t: torch.Tensor) -> SimpleNamespace:
            self.t = t
            return SimpleNamespace(sample=torch.zeros_like(x))

    pictures, net, weights = np.zeros((4, 64, 64, 3), np.uint8), Silent(), []
    plain, wide, capped = (
        v_loss(net, pictures, 1, 0, cap)  # type: ignore[arg-type]
        for cap in (math.inf, 1e9, 0.5)
    )
    for step in range(8):
        assert plain(step) == wide(step)
        weight = (1.5 * (1 - new_scheduler().alphas_cumprod[net.t])).clamp(0.1, 1)
        assert torch.allclose(capped(step), plain(step) * weight)
        weights.append(float(weight))
    assert min(weights) < 0.9 < max(weights)


def test_photographs_are_needed(tmp_path, capsys) -> None:
    given = ["world", "judge", "--domain", "photographs-64", "--out", str(tmp_path / "out")]
    assert call(*given) == 2
    assert "--images DIR|ZIP and --attributes FILE" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
