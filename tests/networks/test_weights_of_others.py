"""Weights as people keep them: taken whole, or refused by the name of a tensor; never made up."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import load_file, save_file
from test_evaluation_own import save_segformer
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTForImageClassification

from asyrp import AsyrpError, load_model
from asyrp.method import editing as api
from asyrp.method.direction_file import DirectionCard, load_direction, save_direction
from asyrp.method.directions import GlobalDirection
from asyrp.method.hspace import HSpaceUNet
from asyrp.networks import latent_pipeline as latent
from asyrp.runtime.download import hub_folder
from asyrp.scorers.clip import load_clip
from asyrp.scorers.lpips import load_lpips
from asyrp.scorers.segmentation import load_segmenter
from asyrp.scorers.vision import load_vision
from asyrp.storage.images import to_uint8, write_png
from asyrp.storage.weight_files import choose
from conftest import noise, tiny_model, tiny_unet
from tiny_folders import save_clip, save_ldm, save_stable_diffusion

Weights = dict[str, Tensor]
PROCESSOR = {"size": {"height": 28, "width": 28}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def saved(folder: Path, seed: int = 5, **how: Any) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = tiny_unet()
        torch.nn.init.normal_(net.conv_in.weight, std=0.1)
    net.save_pretrained(folder / "unet", **how)
    DDPMScheduler().save_pretrained(folder / "scheduler")
    return folder


def save_vit(folder: Path) -> Path:
    """A network that classifies, whose features have no pooler of their own."""
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    config = ViTConfig(**sizes, num_attention_heads=2, image_size=28, patch_size=7)
    ViTForImageClassification(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return folder


def save_dino(folder: Path) -> Path:
    config = Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    Dinov2Model(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return folder


def changed(file: Path, change: Callable[[Weights], Weights]) -> None:
    weights = change(load_file(file))
    save_file({k: v.contiguous() for k, v in weights.items()}, file, {"format": "pt"})


def renamed(weights: Weights) -> Weights:
    """As DistributedDataParallel saves them."""
    return {f"module.{key}": value for key, value in weights.items()}


def without_one(weights: Weights) -> Weights:
    return dict(list(weights.items())[1:])


def with_one_more(weights: Weights) -> Weights:
    return {**weights, "a_layer_more.weight": torch.zeros(3)}


def of_another_shape(weights: Weights) -> Weights:
    key = next(key for key, value in weights.items() if value.ndim)  # a number fits a list of it
    return {**weights, key: torch.zeros(*weights[key].shape, 2)}


def not_finite(weights: Weights) -> Weights:
    weights[list(weights)[-1]].view(-1)[0] = float("-inf")
    return weights


def quantised(weights: Weights) -> Weights:
    return {key: value.to(torch.int8) for key, value in weights.items()}


LOADERS: dict[str, tuple[Callable[[Path], Path], str, Callable[[Path], object]]] = {
    "unet": (saved, "unet/*.safetensors", load_model),
    "vq": (save_ldm, "vqvae/*.safetensors", load_model),
    "unet of latents": (save_ldm, "unet/*.safetensors", load_model),
    "vae": (save_stable_diffusion, "vae/*.safetensors", load_model),
    "text encoder": (save_stable_diffusion, "text_encoder/*.safetensors", load_model),
    "text-to-image": (save_stable_diffusion, "unet/*.safetensors", load_model),
    "clip": (save_clip, "*.safetensors", load_clip),
    "segmenter": (save_segformer, "*.safetensors", load_segmenter),
    "vision": (save_dino, "*.safetensors", load_vision),
}
SPOILT = [renamed, without_one, with_one_more, of_another_shape, not_finite]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder of each kind, made once."""
    root, made = tmp_path_factory.mktemp("whole"), dict[str, Path]()

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = LOADERS[name][0](root / name.replace(" ", "-"))
        return made[name]

    return folder


@pytest.mark.parametrize("spoil", SPOILT)
@pytest.mark.parametrize("name", LOADERS)
def test_weights_of_another_network_are_refused(
    name: str, spoil: Any, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    _, pattern, load = LOADERS[name]
    folder = shutil.copytree(folders(name), tmp_path / "spoilt")
    (file,) = folder.glob(pattern)
    changed(file, spoil)
    with pytest.raises(AsyrpError) as got:
        load(folder)
    assert "\n" not in str(got.value)
    assert len(str(got.value)) < 1000


@pytest.mark.parametrize("name", LOADERS)
def test_whole_weights_load_alike_twice(name: str, folders: Callable[[str], Path]) -> None:
    first, second = (LOADERS[name][2](folders(name)) for _ in range(2))
    one, other = (dict(net.state_dict()) for net in (first, second))  # type: ignore[attr-defined]
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_message_names_the_tensor(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    kept = file.read_bytes()
    for spoil, message in (
        (without_one, "1 tensors are missing from its weights, as 'conv_in.bias'"),
        (with_one_more, "1 tensors of its weights have no place in it, as 'a_layer_more.weight'"),
        (of_another_shape, "1 tensors have another shape in its weights, as 'conv_in.bias'"),
        (not_finite, r"'up_blocks.* of .*unet' holds values that are not finite"),
        (quantised, "is int8 of shape .* needed: weights"),
    ):
        file.write_bytes(kept)
        changed(file, spoil)
        with pytest.raises(AsyrpError, match=message):
            load_model(folder)


@pytest.mark.parametrize("name", ["text encoder", "clip", "segmenter", "vision"])
def test_a_tensor_of_another_shape_is_named_in_parts_of_transformers(
    name: str, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    """Its own error speaks of a report above, which is not shown."""
    _, pattern, load = LOADERS[name]
    folder = shutil.copytree(folders(name), tmp_path / "spoilt")
    changed(next(folder.glob(pattern)), of_another_shape)
    with pytest.raises(AsyrpError, match="1 tensors have another shape in its weights, as '"):
        load(folder)


def test_a_classifier_s_head_is_left_aside_but_no_pooler_is_made_up(tmp_path: Path) -> None:
    folder = save_vit(tmp_path)
    with pytest.raises(AsyrpError, match=r"2 tensors are missing .* as '(vit\.)?pooler.dense.bias"):
        load_vision(folder)
    file = folder / "model.safetensors"
    pooler = {"vit.pooler.dense.weight": torch.eye(16), "vit.pooler.dense.bias": torch.zeros(16)}
    changed(file, lambda weights: weights | pooler)
    assert load_vision(folder)(noise(2, 3, 28, 28).clamp(-1, 1)).shape == (2, 16)


def test_attention_of_old_files_is_found(tmp_path: Path) -> None:
    """Stable Diffusion 1's autoencoder has query, key, value and proj_attn."""
    folder = save_stable_diffusion(tmp_path)
    before = load_model(folder).space.coder.state_dict()  # type: ignore[attr-defined]
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def rename(key: str) -> str:
        for new, name in old.items():
            key = key.replace(f".{new}.", f".{name}.")
        return key

    changed(
        folder / "vae" / "diffusion_pytorch_model.safetensors",
        lambda weights: {rename(key): value for key, value in weights.items()},
    )
    after = load_model(folder).space.coder.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(before[key], after[key]) for key in before)


# layouts


def test_the_one_variant_is_taken_and_told(tmp_path: Path) -> None:
    plain = load_model(saved(tmp_path / "plain"))
    for name, how in (("whole", {}), ("shards", {"max_shard_size": "30KB"})):
        folder = saved(tmp_path / name, variant="bf16", **how)
        with pytest.warns(UserWarning, match="the variant 'bf16' alone, which is taken"):
            assert load_model(folder).fingerprint() == plain.fingerprint()


AVERAGES = ["diffusion_pytorch_model.ema.safetensors", "diffusion_pytorch_model_ema.safetensors"]
AVERAGES += ["ema_0.9999_500000.pt", "diffusion_pytorch_model.EMA.safetensors"]
ADAPTERS = ["pytorch_lora_weights.safetensors", "adapter_model.bin", "ip-adapter_sd15.safetensors"]


@pytest.mark.parametrize("name", AVERAGES + ADAPTERS)
def test_averages_and_adapters_beside_the_weights_are_named(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path)
    for place in ("unet", "."):
        (folder / place / name).write_bytes(b"")
        with pytest.warns(UserWarning, match=f"is taken, and nothing is made of '{name}'"):
            load_model(folder)
        (folder / place / name).unlink()


@pytest.mark.parametrize("name", ["ema_unet", "unet-EMA", "ema", "unet_lora"])
def test_an_average_in_a_folder_of_another_name_is_named(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path)
    shutil.copytree(folder / "unet", folder / name)
    with pytest.warns(UserWarning, match=f"'unet' is taken, and nothing is made of '{name}'"):
        load_model(folder)


def test_weights_within_a_file_of_weights_are_named(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    torch.save({**weights, "ema": weights}, folder / "unet" / "diffusion_pytorch_model.bin")
    file.unlink()
    with pytest.warns(UserWarning, match=r"passed over in .*model.bin': ema; the tensors beside"):
        load_model(folder)


def test_names_that_hold_those_letters_are_no_news(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    folder = saved(tmp_path)
    for name in ("v1-5-pruned-emaonly.ckpt", "schema.json", "flora.bin", "lora.md"):
        (folder / name).write_bytes(b"")
    load_model(folder)
    assert not list(recwarn)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "diffusion_pytorch_model-00001-of-00009.safetensors"]
)
def test_weights_of_two_sets_are_not_mixed(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path, max_shard_size="30KB" if "-of-" in name else "1GB")
    other = next((folder / "unet").glob("*.safetensors"))
    save_file({key: 3 * value for key, value in load_file(other).items()}, folder / "unet" / name)
    with pytest.raises(AsyrpError, match=f"unet': two sets of weights are there, .*'{name}'"):
        load_model(folder)


def test_a_half_precision_variant_beside_the_weights_is_no_news(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    folder = saved(tmp_path)
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"")
    load_model(folder)
    assert not list(recwarn)


def test_an_encoder_of_one_variant_is_taken(tmp_path: Path) -> None:
    folder = save_clip(tmp_path)
    wanted = load_clip(folder).text_features(["face"])
    (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")
    with pytest.warns(UserWarning, match="'fp16' alone"):
        assert torch.equal(load_clip(folder).text_features(["face"]), wanted)


PLAIN, PICKLE = "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"


@pytest.mark.parametrize(
    ("names", "wanted", "variant"),
    [
        ([PLAIN, PICKLE, "diffusion_pytorch_model.fp16.safetensors"], [PLAIN], None),
        ([PLAIN, "diffusion_pytorch_model.non_ema.safetensors"], [PLAIN], None),
        ([PICKLE, "diffusion_pytorch_model.fp16.safetensors"], [PICKLE], None),
        (
            ["model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"],
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
            None,
        ),
        (
            ["diffusion_pytorch_model.fp16-00001-of-00001.safetensors", "config.json"],
            ["diffusion_pytorch_model.fp16-00001-of-00001.safetensors"],
            "fp16",
        ),
        (
            ["diffusion_pytorch_model-00001-of-00001.ema.bin"],
            ["diffusion_pytorch_model-00001-of-00001.ema.bin"],
            "ema",
        ),
        ([PLAIN, "diffusion_pytorch_model-00001-of-00001.safetensors"], [PLAIN], None),
    ],
)
def test_which_files_are_taken(names: list[str], wanted: list[str], variant: str | None) -> None:
    found = choose(names)
    assert found is not None
    assert [*found.names] == wanted
    assert found.variant == variant


def test_what_is_no_choice() -> None:
    assert choose(["lora.safetensors", "config.json", "flax_model.msgpack"]) is None
    with pytest.raises(AsyrpError, match="only variants of the weights are there: ema, fp16"):
        choose(["model.fp16.safetensors", "model.ema.safetensors"])


def test_a_shard_that_is_lost_is_missed(tmp_path: Path) -> None:
    folder = saved(tmp_path, max_shard_size="30KB")
    shards = sorted((folder / "unet").glob("*-of-*.safetensors"))
    assert len(shards) > 1
    shards[0].unlink()
    with pytest.raises(AsyrpError, match="are missing from its weights"):
        load_model(folder)


@pytest.mark.parametrize("steps", [100, 3_000_000])
def test_the_average_over_a_training_is_taken_and_told(steps: int, tmp_path: Path) -> None:
    folder = saved(tmp_path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        average = tiny_unet()
        torch.nn.init.normal_(average.conv_out.weight)
    ema = EMAModel(average.parameters(), model_cls=UNet2DModel, model_config=average.config)
    ema.optimization_step = steps
    ema.save_pretrained(str(folder / "unet_ema"))
    with pytest.warns(UserWarning, match="unet_ema' is taken, the average .* name '.*/unet' for"):
        taken = load_model(folder)
    assert torch.equal(taken.unet.conv_out.weight, average.conv_out.weight)
    assert load_model(folder / "unet_ema").config["sample_size"] == 16
    raw = load_model(folder / "unet")
    assert torch.equal(raw.unet.conv_out.weight, tiny_unet().conv_out.weight)


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
def test_settings_that_windows_wrote_are_read(mark: str, tmp_path: Path) -> None:
    folder = save_ldm(tmp_path)
    wanted = load_model(folder).fingerprint()
    for path in folder.rglob("*.json"):
        path.write_text(path.read_text(), encoding=mark)
    assert load_model(folder).fingerprint() == wanted


class Hub:
    """A Hub of one repository: what is asked for by pattern arrives in a folder."""

    def __init__(self, source: Path, arrived: Path):
        self.source, self.arrived, self.asked = source, arrived, 0

    def snapshot(self, spec: str, allow_patterns: list[str], **how: object) -> str:
        self.asked += 1
        for path in self.source.rglob("*"):
            name = path.relative_to(self.source)
            if path.is_file() and any(map(name.match, allow_patterns)):
                (self.arrived / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, self.arrived / name)
        return str(self.arrived)

    def single(self, spec: str, name: str, **how: object) -> str:
        if not (self.source / name).is_file():
            raise EntryNotFoundError("no such file")
        return str(self.source / name)


def hub_of(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub(source, tmp_path / "arrived")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub.single)
    return hub


def test_shards_of_a_pipeline_of_latents_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save_stable_diffusion(tmp_path / "source")
    whole = load_model(source)
    net = whole.unet.network  # type: ignore[union-attr]
    shutil.rmtree(source / "unet")
    net.to(memory_format=torch.contiguous_format)
    net.save_pretrained(source / "unet", max_shard_size="30KB")
    hub = hub_of(source, tmp_path, monkeypatch)
    folder = latent.download("nobody/sharded")
    assert folder is not None
    assert hub.asked == 1
    assert load_model(folder).fingerprint() == whole.fingerprint()


def test_a_variant_alone_is_fetched_from_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = saved(tmp_path / "source", variant="fp16")
    hub = hub_of(source, tmp_path, monkeypatch)
    folder = hub_folder("nobody/half")
    assert hub.asked == 3
    with pytest.warns(UserWarning, match="'fp16' alone"):
        assert load_model(folder).image_shape == (3, 16, 16)


def test_encoders_of_other_libraries_are_named(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    for name in ("open_clip_config.json", "open_clip_model.safetensors"):
        (tmp_path / "open" / name).write_text("{}")
    (tmp_path / "ViT-B-32.pt").write_bytes(b"PK")
    for source, message in (
        (tmp_path / "open", "is a folder of open_clip; needed a CLIP-like model in the form of"),
        (tmp_path / "ViT-B-32.pt", "is a single file; needed a CLIP-like model"),
    ):
        with pytest.raises(AsyrpError, match=message):
            load_clip(source)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("cond_stage_model.transformer.x", r"from_single_file\(FILE\).save_pretrained\(FOLDER\)"),
        ("first_stage_model.encoder.x", "convert_ldm_original_checkpoint_to_diffusers.py"),
    ],
)
def test_checkpoints_in_one_file_say_what_to_do(key: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({key: torch.zeros(2), "model.diffusion_model.y": torch.zeros(2)}, file)
    with pytest.raises(AsyrpError, match=message):
        load_model(file)


# results


def overflowing() -> HSpaceUNet:
    """Finite weights whose walk is not."""
    model = tiny_model()
    with torch.no_grad():
        for weight in model.unet.conv_out.parameters():
            weight.fill_(3e38)
    return model


def test_results_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    model, images = overflowing(), noise(1, 3, 16, 16).clamp(-1, 1)
    with pytest.raises(AsyrpError, match="the inversion came out .* no finite numbers"):
        api.invert(model, images, steps=4)
    with pytest.raises(AsyrpError, match="the walk came out with values that are no finite"):
        api.edit(model, images, steps=4)
    with pytest.raises(AsyrpError, match="a picture came out"):
        to_uint8(torch.full((1, 3, 8, 8), float("nan")))
    with pytest.raises(AsyrpError, match="a picture came out"):
        write_png(tmp_path / "a.png", torch.full((3, 8, 8), float("inf")))
    with pytest.raises(AsyrpError, match="needs 1 or 3 channels; this image has 4"):
        write_png(tmp_path / "a.png", torch.zeros(4, 8, 8))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.full((1, 3, 16, 16), 255.0), "got float32 from 255 to 255"),
        (torch.full((1, 3, 16, 16), 255, dtype=torch.uint8), "got uint8"),
        (torch.full((1, 3, 16, 16), float("nan")), "got float32 from nan"),
    ],
)
def test_images_that_are_none_are_not_inverted(images: Tensor, message: str) -> None:
    for work in (api.invert, api.latents_of):
        with pytest.raises(AsyrpError, match=message):
            work(tiny_model(), images, steps=4)


def test_a_distance_with_a_nan_is_refused(tmp_path: Path) -> None:
    from asyrp.scorers.lpips import LPIPS

    state = LPIPS("alex").state_dict()
    state["features.0.bias"][3] = float("nan")
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "a.safetensors")
    with pytest.raises(AsyrpError, match=r"'features.0.bias' of .* not finite"):
        load_lpips(path=tmp_path / "a.safetensors")


def test_a_direction_without_a_network_is_told(tmp_path: Path) -> None:
    model = tiny_model()
    direction = GlobalDirection(torch.zeros(model.h_shape))
    for fingerprint in ("", model.fingerprint()):
        card = DirectionCard("a", "b", 300, 0, 8, fingerprint)
        save_direction(tmp_path / f"{fingerprint[:3]}.safetensors", direction, card)
    with pytest.warns(UserWarning, match="names no network .* only its shapes were compared"):
        load_direction(tmp_path / ".safetensors", model)
    load_direction(tmp_path / f"{model.fingerprint()[:3]}.safetensors", model)
