"""What was published with the official code: tables, directions, texts, presets."""

import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import asyrp
import official
from asyrp.cli import main
from asyrp.method.direction_file import DirectionCard, read_card
from asyrp.method.directions import GlobalDirection, ImplicitDirection
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.protocols import Thresholds
from asyrp.method.schedule import linear
from asyrp.networks.convert.convert import convert
from asyrp.networks.convert.detect import Detected, detect
from asyrp.networks.convert.hyperparameters import Hyperparameters
from asyrp.networks.presets import EVERY, PRESETS, find_preset
from asyrp.networks.released_directions import Known, convert_direction, read_name
from asyrp.networks.released_networks import NETWORKS
from asyrp.networks.released_tables import DATASETS, implied_cosine, released_intervals
from asyrp.networks.released_texts import DOMAINS, every_pair, text_pairs
from conftest import noise, tiny_model
from converted import FOLDER, assert_bit_for_bit
from originals import Adm, Ddpm, adm_weights, ddpm_weights

SMILING = FOLDER.parent / "released" / "smiling_LC_CelebA_HQ_t999_ninv40_ngen40_0.pth"
COSINES = (1.0, 0.95, 0.90, 0.85, 0.80, 0.70, 0.60, 0.50)
# from the tables by an independent script, over the cosines above; and the t with x >= 1.2
T_EDIT = {
    "celeba": (538, 526, 514, 503, 489, 459, 421, 366),
    "church": (396, 382, 367, 352, 335, 300, 263, 223),
    "bedroom": (384, 377, 367, 356, 344, 321, 294, 260),
    "afhq": (482, 462, 439, 412, 383, 310, 238, 174),
    "metface": (396, 356, 313, 262, 216, 141, 95, 67),
}
T_BOOST = {"celeba": 167, "church": 293, "bedroom": 221, "afhq": 167, "metface": 180}
OTHER_CUTS = {  # x >= 1.0
    "celeba": 105,
    "church": 197,
    "bedroom": 162,
    "afhq": 121,
    "metface": 113,
}
PUBLISHED = {
    "smiling": 513,
    "sad": 513,
    "angry": 512,
    "tanned": 512,
    "man": 513,
    "woman": 513,
    "young": 515,
    "curly_hair": 499,
    "nicolas": 461,
    "pixar": 446,
    "neanderthal": 490,
    "modigliani": 403,
    "frida": 321,
}
RELEASED = {  # the 35 files
    "CelebA_HQ": (
        "angry curly_hair frida makeup man modigliani neanderthal nicolas pixar sad smiling tanned "
        "woman young zombie zombie_new random_noise_man random_noise_woman"
    ),
    "church_outdoor": (
        "church_department_store church_factory church_gothic church_red_brick church_temple "
        "church_wooden_church"
    ),
    "bedroom": "bedroom_hotel bedroom_princess",
    "dog": "dog_angry dog_happy dog_sleepy dog_wolf dog_yorkshire",
    "metfaces": "metface_angry metface_disgusted metface_sad metface_smiling",
}


@pytest.mark.parametrize("dataset", DATASETS)
def test_t_edit_and_t_boost_from_the_tables(dataset: str) -> None:
    found = [released_intervals(dataset, cosine) for cosine in COSINES]
    assert tuple(one.t_edit for one in found) == T_EDIT[dataset]
    assert {one.t_boost for one in found} == {T_BOOST[dataset]}
    lower = released_intervals(dataset, 1.0, Thresholds(boost=1.0))
    assert lower.t_boost == OTHER_CUTS[dataset]


@pytest.mark.parametrize("t_edit", sorted(set(PUBLISHED.values())))
def test_the_cosine_behind_a_published_t_edit(t_edit: int) -> None:
    cosine = implied_cosine("celeba", t_edit)
    assert 0.4 < cosine < 1
    assert released_intervals("celeba", cosine).t_edit == t_edit


@pytest.mark.parametrize("name", ["mine.pth", "smiling_LC_CelebA_HQ_t999_ninv40_ngen40_0.pth"])
def test_an_end_at_timestep_0_is_one_that_was_given(name: str) -> None:
    found = Detected("table direction", {"500": torch.zeros(2, 8, 8)}, "")
    card = convert_direction(found, name, Known(t_edit=0, t_boost=0)).card
    assert (card.t_edit, card.t_boost) == (0, 0)
    with pytest.raises(asyrp.AsyrpError, match="trained_steps must be 1 or more; got 0"):
        convert_direction(found, name, Known(trained_steps=0))


@pytest.mark.parametrize("cosine", [0.0, -0.2, 1.1, float("nan")])
def test_cosines_outside_their_range(cosine: float) -> None:
    with pytest.raises(asyrp.AsyrpError, match="a text cosine lies above 0"):
        released_intervals("celeba", cosine)


def test_unknown_datasets() -> None:
    with pytest.raises(asyrp.AsyrpError, match="celeba, church, bedroom, afhq, metface"):
        released_intervals("ffhq", 0.9)


def test_all_text_pairs_belong_to_one_domain() -> None:
    by_domain = [set(text_pairs(domain)) for domain in DOMAINS]
    assert sum(map(len, by_domain)) == len(every_pair()) == 106
    assert set.union(*by_domain) == set(every_pair())


def test_every_preset_names_sources_a_licence_and_texts() -> None:
    assert list(PRESETS) == [
        "celeba-hq",
        "lsun-church",
        "lsun-bedroom",
        "afhq-dog",
        "metfaces",
        "ffhq",
        "celeba-hq-p2",
        "imagenet-256",
    ]
    for preset in EVERY:
        assert len(preset.sources) + bool(preset.by_hand) >= 2
        assert preset.licence
        assert preset.files
        assert preset.attributes
        assert (preset.t_boost is None) == (preset.tables is None)


def test_what_the_paper_published_for_celeba_hq() -> None:
    attributes = find_preset("celeba-hq").attributes
    assert {n: a.t_edit for n, a in attributes.items() if a.t_edit} == PUBLISHED
    assert attributes["smiling"][:4] == ("face", "smiling face", 0.8, 3.0)
    assert attributes["neanderthal"].lambda_clip == 1.2
    assert [n for n in PUBLISHED if attributes[n].unseen] == [
        "nicolas",
        "pixar",
        "neanderthal",
        "modigliani",
        "frida",
    ]


def release(path: Path, block: dict[str, Tensor]) -> Path:
    """A direction as the official code saves it."""
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    torch.save({"0": block, "optimizer": optimiser.state_dict(), "scheduler": {}}, path)
    return path


@pytest.mark.parametrize("category", RELEASED)
def test_every_released_name_brings_texts_steps_and_intervals(
    category: str, tmp_path: Path
) -> None:
    layout = "ddpm" if category in ("CelebA_HQ", "church_outdoor", "bedroom") else "adm"
    block = load_file(FOLDER / f"{layout}.direction.safetensors")
    for attribute in RELEASED[category].split():
        name = f"{attribute}_LC_{category}_t999_ninv40_ngen40_0.pth"
        out = tmp_path / f"{attribute}.safetensors"
        assert main(["convert", str(release(tmp_path / name, block)), "--out", str(out)]) == 0
        card = read_card(out)
        texts = attribute.removesuffix("_new").removeprefix("random_noise_")
        assert (card.source, card.target) == every_pair()[texts]
        assert card.trained_steps == 40
        dataset = next(p.tables for p in EVERY if p.category == category)
        if category == "CelebA_HQ" and texts in PUBLISHED:
            assert card.t_edit == PUBLISHED[texts]
        else:
            assert card.t_edit == T_EDIT[dataset][2]  # cosine 0.9, and said so
            assert any("0.9" in line for line in card.training["assumed"])
        assert card.t_boost == T_BOOST[dataset]
        assert card.training["network"] == next(p.name for p in EVERY if p.category == category)


def test_a_name_taken_apart() -> None:
    assert read_name("a_b_LC_CelebA_HQ_t999_ninv40_ngen50_3.pth") == ("a_b", "CelebA_HQ", 50)
    assert read_name("smiling.pth") is None


def test_the_cosine_of_clip_sets_t_edit(tmp_path: Path) -> None:
    block = load_file(FOLDER / "adm.direction.safetensors")
    file = release(tmp_path / "metface_sad_LC_metfaces_t999_ninv40_ngen40_0.pth", block)
    out = tmp_path / "sad.safetensors"
    assert main(["convert", str(file), "--out", str(out), "--cosine", "0.7"]) == 0
    card = read_card(out)
    assert (card.t_edit, card.text_cosine) == (141, 0.7)
    assert card.t_boost == 141  # the table says 180, but boosting begins where editing has ended


def test_a_config_goes_before_everything(tmp_path: Path) -> None:
    config, out = tmp_path / "my.json", tmp_path / "sad.safetensors"
    config.write_text('{"source": "cat", "target": "sad cat", "t_edit": 300, "t_boost": 90}')
    file = str(FOLDER / "adm.direction.safetensors")
    assert main(["convert", file, "--out", str(out), "--config", str(config)]) == 0
    card = read_card(out)
    assert (card.source, card.target, card.t_edit, card.t_boost) == ("cat", "sad cat", 300, 90)


@pytest.mark.parametrize("layout", ["ddpm", "adm"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_directions_back_bit_for_bit(layout: str, suffix: str, tmp_path: Path) -> None:
    block = load_file(FOLDER / f"{layout}.direction.safetensors")
    ours, back = tmp_path / "ours.safetensors", tmp_path / f"back{suffix}"
    assert main(["convert", str(release(tmp_path / "x.pth", block)), "--out", str(ours)]) == 0
    assert main(["convert", str(ours), "--back", "--out", str(back)]) == 0
    got = torch.load(back, weights_only=True)["0"] if suffix == ".pth" else load_file(back)
    assert_bit_for_bit(got, block)


def test_a_shift_equal_at_all_places_has_no_original_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = DirectionCard("a", "b", 500, 200, 40, "")
    asyrp.save_direction(
        tmp_path / "global.safetensors", GlobalDirection(torch.ones(16, 1, 1)), card
    )
    words = [str(tmp_path / "global.safetensors"), "--back", "--out", str(tmp_path / "x.pth")]
    assert main(["convert", *words]) == 2
    assert "has the shape of h" in capsys.readouterr().err
    assert not (tmp_path / "x.pth").exists()


def test_the_fingerprint_of_a_network_binds_a_direction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_model(block_out_channels=(32, 64), norm_num_groups=32)
    model.unet.save_pretrained(tmp_path / "net")
    model = asyrp.load_model(tmp_path / "net")
    file, out = str(FOLDER / "ddpm.direction.safetensors"), tmp_path / "f.safetensors"
    words = ["convert", file, "--out", str(out), "--model", str(tmp_path / "net")]
    assert main(words) == 0
    assert asyrp.load_direction(out, model).card.fingerprint == model.fingerprint()
    other = tiny_model(block_out_channels=(32, 64), norm_num_groups=32, norm_eps=1e-3)
    with pytest.raises(asyrp.AsyrpError, match="trained on another network"):
        asyrp.load_direction(out, other)
    tiny_model().unet.save_pretrained(tmp_path / "small")
    assert main([*words[:-1], str(tmp_path / "small")]) == 2
    assert "this network has (16, 32)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: {k: v for k, v in b.items() if k != "conv1.bias"}, "missing or too many"),
        (lambda b: b | {"conv3.bias": torch.ones(1)}, "missing or too many: conv3.bias"),
        (lambda b: b | {"conv1.weight": torch.ones(64, 32, 1, 1)}, "not those of one f_t"),
    ],
)
def test_broken_directions_are_refused(
    change: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    block = change(load_file(FOLDER / "ddpm.direction.safetensors"))
    file, out = release(tmp_path / "x.pth", block), tmp_path / "x.safetensors"
    assert main(["convert", str(file), "--out", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def delta_block(block: dict[str, Tensor], h: Tensor, emb: Tensor) -> Tensor:
    """The released delta block of DDPM, from the paper's appendix E and its state dict."""

    def mixed(name: str, x: Tensor) -> Tensor:
        weight, bias = block[f"{name}.weight"], block[f"{name}.bias"]
        return torch.einsum("oi,bihw->bohw", weight[:, :, 0, 0], x) + bias[:, None, None]

    hidden = mixed("conv1", h)
    swish = emb * emb.sigmoid()
    hidden = (
        hidden + (swish @ block["temb_proj.weight"].T + block["temb_proj.bias"])[..., None, None]
    )
    groups = hidden.unflatten(1, (32, -1)).flatten(2).double()
    centred = groups - groups.mean(2, keepdim=True)
    normed = centred / (centred.square().mean(2, keepdim=True) + 1e-6).sqrt()
    normed = normed.float().reshape(hidden.shape)
    hidden = normed * block["norm2.weight"][:, None, None] + block["norm2.bias"][:, None, None]
    return mixed("conv2", hidden * hidden.sigmoid())


@torch.no_grad()
def test_a_released_direction_follows_the_formula(tmp_path: Path) -> None:
    out = tmp_path / "smiling.safetensors"
    assert main(["convert", str(SMILING), "--out", str(out)]) == 0
    card = read_card(out)
    assert (card.source, card.target) == ("face", "smiling face")
    assert (card.t_edit, card.t_boost, card.trained_steps) == (513, 167, 40)
    block = torch.load(SMILING, map_location="cpu", weights_only=True)["0"]
    f_t = official.direction(block, "ddpm")
    h, emb = 3 * noise(2, 512, 8, 8), noise(2, 512, seed=1)
    assert torch.allclose(f_t(h, emb, 600), delta_block(block, h, emb), atol=2e-5)
    model = fake_of_shape(512, 512)
    loaded = asyrp.load_direction(out, model).direction
    assert torch.equal(loaded(h, emb, 600), f_t(h, emb, 600))


def fake_of_shape(h_channels: int, emb_channels: int) -> Any:
    """As much of a network as loading a direction looks at."""

    class Fake:
        device = torch.device("cpu")

        def fingerprint(self) -> str:
            return "f" * 64

    fake = Fake()
    fake.h_channels, fake.emb_channels = h_channels, emb_channels  # type: ignore[attr-defined]
    return fake


FULL = {
    "DDPM 114M": (Ddpm(128, (1, 1, 2, 2, 4, 4), 2, (False,) * 4 + (True, False)), 113_673_219),
    "ADM 93.6M": (Adm(128, (1, 1, 2, 2, 4, 4), 1, (False,) * 4 + (True, False)), 93_563_910),
    "ImageNet 553M": (Adm(256, (1, 1, 2, 2, 4, 4), 2, (False,) * 3 + (True,) * 3), 552_814_086),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
@torch.no_grad()
def test_full_size_networks(name: str) -> None:
    """Strict conversion from original names with nothing said, and one 256x256 pass."""
    net, parameters = FULL[name]
    weights = ddpm_weights(net) if isinstance(net, Ddpm) else adm_weights(net)
    assert sum(value.numel() for value in weights.values()) == parameters
    kind = detect(weights, name)
    done = convert(kind, Hyperparameters())
    assert any("by its shapes" in line for line in done.assumed)
    model = HSpaceUNet(done.unet, linear())
    x = noise(1, 3, 256, 256)
    encoded = model.encode(x, 500)
    eps = model.decode(encoded)
    assert eps.shape == x.shape
    assert bool(torch.isfinite(eps).all())
    if name == "DDPM 114M":
        _check_released(model, encoded, eps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"{name}: {parameters:,} parameters, h {tuple(encoded.h.shape[1:])}, peak {peak:.2f} GiB")


def _check_released(model: HSpaceUNet, encoded: Any, eps: Tensor) -> None:
    """A released direction changes eps as a second decoder pass from h + delta block does."""
    block = torch.load(SMILING, map_location="cpu", weights_only=True)["0"]
    f_t = ImplicitDirection(512, 512)
    f_t.load_state_dict(official.direction(block, "ddpm").state_dict())
    wanted = model.decode(encoded, encoded.h + delta_block(block, encoded.h, encoded.emb))
    got = model.decode(encoded, encoded.h + f_t(encoded.h, encoded.emb, 500))
    assert float((got - wanted).abs().max() / wanted.abs().max()) < 1e-4
    assert float((got - eps).abs().max()) > 1e-3


def test_the_table_of_released_networks_knows_the_full_sizes() -> None:
    assert {known.name for known in list(NETWORKS.values()) if known.said.image_size == 256} >= {
        preset.network.name for preset in EVERY
    }
