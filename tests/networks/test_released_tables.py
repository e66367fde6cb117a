"""What else the official code saves as a direction: tables of dh, means, f_t without time."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import asyrp
from asyrp.cli import main
from asyrp.method.direction_file import read_card
from asyrp.method.directions import GlobalDirection, ImplicitDirection, TimestepDirection
from conftest import noise, tiny_model
from converted import FOLDER, assert_bit_for_bit

MODEL = tiny_model(block_out_channels=(32, 64), norm_num_groups=32)  # h is (64, 8, 8)
TIMES = (538, 640, 999)
TABLE = {t: noise(64, 8, 8, seed=t) for t in TIMES}
NAME = "smiling_LC_CelebA_HQ_t999_ninv40_ngen40_0.pth"


def with_optimiser(entries: dict[Any, Any]) -> dict[Any, Any]:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5, momentum=0.9)
    return {**entries, "optimizer": optimiser.state_dict(), "scheduler": {"last_epoch": 0}}


def converted(path: Path, content: Any, *words: str) -> Any:
    """A file of the official code through the command, as the library loads it."""
    torch.save(content, path)
    out = path.with_name("out.safetensors")
    assert main(["convert", str(path), "--out", str(out), *words]) == 0
    return asyrp.load_direction(out, MODEL)


def test_a_trained_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = with_optimiser({str(t): nn.Parameter(dh) for t, dh in TABLE.items()})
    direction, card = converted(tmp_path / NAME, content)
    assert isinstance(direction, TimestepDirection)
    assert direction.times == TIMES
    for t in TIMES:
        assert torch.equal(direction(noise(2, 64, 8, 8), noise(2, 128), t)[0], TABLE[t])
    assert (card.source, card.target, card.t_edit) == ("face", "smiling face", 513)
    assert "dh at 3 timesteps, 999 down to 538" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_table_back_bit_for_bit(suffix: str, tmp_path: Path) -> None:
    converted(tmp_path / NAME, with_optimiser({str(t): dh for t, dh in TABLE.items()}))
    back = tmp_path / f"back{suffix}"
    assert main(["convert", str(tmp_path / "out.safetensors"), "--back", "--out", str(back)]) == 0
    got = torch.load(back, weights_only=True) if suffix == ".pth" else load_file(back)
    assert_bit_for_bit(got, {str(t): dh for t, dh in TABLE.items()})


def test_a_table_of_no_known_name_says_where_editing_ends(tmp_path: Path) -> None:
    _, card = converted(tmp_path / "mine.pth", {str(t): dh for t, dh in TABLE.items()})
    assert card.t_edit == 538
    assert "t_edit 538, where the table ends" in card.training["assumed"]


def test_one_dh_for_all_timesteps(tmp_path: Path) -> None:
    entries: dict[str, Any] = {**dict.fromkeys(map(str, TIMES)), "0": nn.Parameter(TABLE[640])}
    direction, _ = converted(tmp_path / NAME, with_optimiser(entries))
    assert isinstance(direction, GlobalDirection)
    assert torch.equal(direction.dh, TABLE[640])
    back = tmp_path / "back.pth"
    assert main(["convert", str(tmp_path / "out.safetensors"), "--back", "--out", str(back)]) == 0
    assert_bit_for_bit(torch.load(back, weights_only=True), {"0": TABLE[640]})


def test_means_over_images(tmp_path: Path) -> None:
    means: dict[int, Tensor] = {t: dh[None] for t, dh in TABLE.items()}
    means[0] = torch.stack(list(means.values())).mean(0)
    direction, _ = converted(tmp_path / "exp_40_100.pth", means)
    assert direction.times == TIMES
    (tmp_path / "global.json").write_text('{"ignore_timesteps": true}')
    words = ("--config", str(tmp_path / "global.json"))
    direction, _ = converted(tmp_path / "exp_40_100.pth", means, *words)
    assert isinstance(direction, GlobalDirection)
    assert torch.equal(direction.dh, means[0][0])


@torch.no_grad()
def test_f_t_without_time_is_told_by_the_config(tmp_path: Path) -> None:
    block = load_file(FOLDER / "ddpm.direction.safetensors")
    (tmp_path / "f.json").write_text(json.dumps({"ignore_timesteps": "True", "lr": 0.5}))
    words = ("--config", str(tmp_path / "f.json"))
    direction, _ = converted(tmp_path / NAME, with_optimiser({"0": block}), *words)
    assert isinstance(direction, ImplicitDirection)
    h, emb = noise(1, 64, 8, 8), noise(1, 128)
    assert torch.equal(direction(h, emb, 600), direction(h, 9 * emb, 600))
    timed, _ = converted(tmp_path / NAME, with_optimiser({"0": block}))
    assert not torch.allclose(timed(h, emb, 600), direction(h, emb, 600))


def test_names_that_mean_nothing_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f.json").write_text(json.dumps({"t_edit": 400, "lr": 0.5, "t_boots": 3}))
    content = {str(t): dh for t, dh in TABLE.items()}
    converted(tmp_path / NAME, content, "--config", str(tmp_path / "f.json"))
    assert "not used           lr, t_boots" in capsys.readouterr().out
    assert read_card(tmp_path / "out.safetensors").t_edit == 400


BROKEN: dict[str, tuple[Any, str, str]] = {
    "two blocks": ({"0": {"b": 1}, "1": {}}, "", "holds 2 delta blocks (0, 1)"),
    "shapes": ({"538": torch.ones(64, 8, 8), "999": torch.ones(32, 8, 8)}, "", "one shape"),
    "batch": ({538: torch.ones(2, 64, 8, 8)}, "", "one shape (c, h, w)"),
    "no entry": ({"538": torch.ones(64, 8, 8)}, '{"ignore_timesteps": 1}', "has no entry 0"),
    "no switch": (
        {"538": torch.ones(64, 8, 8)},
        '{"ignore_timesteps": "perhaps"}',
        "neither true nor false",
    ),
    "stretched": ({538: torch.ones(1).expand(3000, 300, 300)}, "", "claims 270,000,000 values"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_tables_are_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, config, message = BROKEN[name]
    if name == "two blocks":
        block = load_file(FOLDER / "ddpm.direction.safetensors")
        content = {"0": block, "1": dict(block)}
    torch.save(content, tmp_path / "x.pth")
    (tmp_path / "x.json").write_text(config or "{}")
    words = ["--out", str(tmp_path / "out.safetensors"), "--config", str(tmp_path / "x.json")]
    assert main(["convert", str(tmp_path / "x.pth"), *words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert not (tmp_path / "out.safetensors").exists()


def test_a_table_of_another_size_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"538": torch.ones(64, 4, 4)}, tmp_path / "x.pth")
    MODEL.unet.save_pretrained(tmp_path / "net")
    words = ["--out", str(tmp_path / "out.safetensors"), "--model", str(tmp_path / "net")]
    assert main(["convert", str(tmp_path / "x.pth"), *words]) == 2
    assert "this network has (64, 8, 8)" in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()
