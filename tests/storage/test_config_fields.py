"""Every field of a foreign config, set off its default: obeyed, refused, or named in a warning."""

import inspect
import json
import math
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import diffusers
import diffusers.schedulers
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel, UNet2DModel, VQModel
from torch import Tensor

from asyrp import AsyrpPipeline
from asyrp.errors import AsyrpError
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_space import LatentSpace
from asyrp.method.text_conditioning import FixedPrompt
from asyrp.networks import load_model
from asyrp.networks.diffusers_folder import open_part, read_json
from asyrp.networks.scheduler_config import Noise, read_scheduler
from asyrp.scorers.clip import load_clip
from asyrp.scorers.preprocessing import view_of
from asyrp.storage.config_fields import defaults_of
from conftest import TINY, noise, tiny_unet
from tiny_folders import (
    save_clip,
    save_stable_diffusion,
    tiny_condition_unet,
    tiny_kl,
    tiny_latent_unet,
    tiny_vq,
)

OBEYED, REFUSED, NAMED, PASSED_OVER = "obeyed", "refused", "named", "passed over"


def outcome(field: str, read: Callable[[], bool]) -> str:
    """What became of a field; `read` says whether the answer is that of diffusers."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            obeyed = read()
        except AsyrpError as error:
            return REFUSED if "\n" not in str(error) else str(error)
    if any("passed over" in str(w.message) and field in str(w.message) for w in told):
        return NAMED
    return OBEYED if obeyed else PASSED_OVER


# schedulers

SCHEDULERS = {
    name: kind
    for name in dir(diffusers.schedulers)
    if name.endswith("Scheduler")
    and inspect.isclass(kind := getattr(diffusers, name, None))
    and "Flax" not in name
}
OTHERS = {
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "trained_betas": [0.1, 0.2, 0.3],
    "timestep_type": "continuous",
    "lambda_min_clipped": -5.0,
}
# what a walk from T to 0 without clipping has anyway
AS_HERE = [("clip_sample", False), ("set_alpha_to_one", True), ("timestep_spacing", "linspace")]


def off_default(field: str, default: object) -> object:
    """Another value of the same type."""
    if field in OTHERS and OTHERS[field] != default:
        return OTHERS[field]
    if isinstance(default, bool):
        return not default
    if isinstance(default, int | float):
        return default + 1 if field != "beta_end" else default / 2
    if isinstance(default, list):
        return [*default, 1]
    return "linear" if field == "beta_schedule" else "another"


def test_all_schedulers_are_walked() -> None:
    assert len(SCHEDULERS) > 25
    assert sum(len(defaults_of(kind)) for kind in SCHEDULERS.values()) > 250


def outcome_of_scheduler(name: str, field: str) -> str:
    config = {"_class_name": name, **defaults_of(SCHEDULERS[name])}
    value = off_default(field, config[field])

    def read() -> bool:
        before, after = read_scheduler(config, quiet=True), read_scheduler({**config, field: value})
        return before != after or (field, value) in AS_HERE

    return outcome(field, read)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_field_of_every_scheduler(name: str) -> None:
    told = {field: outcome_of_scheduler(name, field) for field in defaults_of(SCHEDULERS[name])}
    assert {*told.values()} <= {OBEYED, REFUSED, NAMED}, told


def noise_by(name: str, quiet: bool = False, **changes: Any) -> Noise:
    return read_scheduler({"_class_name": name, **changes}, quiet)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("HeunDiscreteScheduler", {}),
        ("LCMScheduler", {"beta_end": 0.015}),
        ("UniPCMultistepScheduler", {"num_train_timesteps": 400, "beta_schedule": "scaled_linear"}),
        ("EulerDiscreteScheduler", {"beta_schedule": "squaredcos_cap_v2"}),
        ("PNDMScheduler", {"prediction_type": "v_prediction"}),
        ("DPMSolverMultistepScheduler", {"trained_betas": [0.1, 0.2, 0.3]}),
    ],
)
def test_what_a_config_leaves_out_is_its_own_class_s_default(
    name: str, changes: dict[str, Any]
) -> None:
    found = noise_by(name, quiet=True, **changes)
    given = {k: np.array(v) if k == "trained_betas" else v for k, v in changes.items()}
    theirs = getattr(diffusers, name)(**given)
    np.testing.assert_allclose(
        found.schedule.alpha_bars, theirs.alphas_cumprod.numpy(), rtol=1e-4, atol=1e-8
    )
    assert found.prediction == changes.get("prediction_type", "epsilon")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"_class_name": "SCMScheduler"}, "got 'SCMScheduler', which says nothing of betas"),
        ({"_class_name": "MySampler", "beta_schedule": "linear"}, "got 'MySampler'"),
        ({"prediction_type": "v_prediction"}, "without _class_name and beta_schedule"),
        ({"_class_name": ["DDIMScheduler"]}, "needed a scheduler of discrete betas"),
        ({"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"}, "timestep_type"),
        ({"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True}, "use_flow_sigmas"),
        ({"_class_name": "DDIMScheduler", "snr_shift_scale": 3.0}, "snr_shift_scale = 3.0"),
        (
            {"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": True},
            "needed: a network of v_prediction or sample",
        ),
    ],
)
def test_another_process_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(AsyrpError, match=message) as got:
        read_scheduler(config)
    assert "\n" not in str(got.value)


def test_a_scheduler_without_a_class_is_spoken_of() -> None:
    config = {"_class_name": None, "beta_schedule": "linear", "timestep_spacing": "leading"}
    with pytest.warns(UserWarning, match="passed over in the scheduler: timestep_spacing"):
        read_scheduler(config)


def test_steps_that_are_not_taken_are_named_in_one_line() -> None:
    with pytest.warns(UserWarning, match=r"steps_offset = 1, skip_prk_steps = True; .*--steps"):
        noise_by("PNDMScheduler", steps_offset=1, skip_prk_steps=True, set_alpha_to_one=False)
    with pytest.warns(UserWarning, match=r"passed over in DDIMScheduler: invented = \[1\]"):
        noise_by("DDIMScheduler", invented=[1], clip_sample=False)
    with pytest.warns(UserWarning, match="TCDScheduler"):
        noise_by("TCDScheduler")


def test_what_everybody_has_says_nothing(recwarn: pytest.WarningsRecorder) -> None:
    for name in ("DDPMScheduler", "DDIMScheduler", "EulerDiscreteScheduler", "PNDMScheduler"):
        read_scheduler({**getattr(diffusers, name)().config, "_class_name": name})
    read_scheduler({"beta_schedule": "linear"})
    load_model("avatars-64")
    assert not recwarn.list


# networks

UNET: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 1,
    "out_channels": 6,
    "center_input_sample": True,
    "time_embedding_type": "learned",
    "time_embedding_dim": 48,
    "freq_shift": 1,
    "flip_sin_to_cos": False,
    "down_block_types": ["AttnDownBlock2D", "DownBlock2D"],
    "mid_block_type": None,
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D"],
    "block_out_channels": [8, 24],
    "layers_per_block": 2,
    "mid_block_scale_factor": 2,
    "downsample_padding": 0,
    "downsample_type": "resnet",
    "upsample_type": "resnet",
    "dropout": 0.5,
    "act_fn": "gelu",
    "attention_head_dim": 4,
    "norm_num_groups": 2,
    "attn_norm_num_groups": 2,
    "norm_eps": 1e-3,
    "resnet_time_scale_shift": "scale_shift",
    "add_attention": False,
    "class_embed_type": "timestep",
    "num_class_embeds": 4,
    "num_train_timesteps": 500,
}
UNET_WITH = {"time_embedding_type": {"num_train_timesteps": 1000}}
SCHEDULER = {"_class_name": "DDPMScheduler"}


def saved(folder: Path, build: Callable[..., Any], change: Mapping[str, Any]) -> Any:
    """A folder with one change, and diffusers' own network; None where it builds none."""
    try:
        net = build(**change)
    except Exception:
        net = build()
    net.eval().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text()) | dict(change)
    (folder / "config.json").write_text(json.dumps(config))
    return net


def tiny(**changes: Any) -> UNet2DModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return UNet2DModel(**{**TINY, **changes})


def test_the_tables_name_every_field() -> None:
    tables = ((UNet2DModel, UNET), (UNet2DConditionModel, CONDITION), (VQModel, VQ))
    for kind, table in (*tables, (AutoencoderKL, KL)):
        assert defaults_of(kind).keys() <= table.keys()  # fewer in an older diffusers


@torch.no_grad()
@pytest.mark.parametrize("field", UNET)
def test_every_field_of_a_pixel_network(field: str, tmp_path: Path) -> None:
    change = {field: UNET[field], **UNET_WITH.get(field, {})}
    theirs = saved(tmp_path, tiny, change)
    (tmp_path / "scheduler_config.json").write_text(json.dumps(SCHEDULER))

    def read() -> bool:
        model = load_model(tmp_path)
        x, t = noise(2, *model.image_shape), torch.tensor([7, 900])
        labels = None if theirs.class_embedding is None else torch.tensor([1, 3])
        ours = model.decode_raw(model.encode(x, t, labels))
        return torch.allclose(ours, theirs(x, t, class_labels=labels).sample, atol=1e-5)

    if field not in defaults_of(UNet2DModel):  # of a newer diffusers than this one
        assert outcome(field, read) in (NAMED, OBEYED)
        return
    assert outcome(field, read) == (
        REFUSED if field in ("in_channels", "mid_block_type") else OBEYED
    )


CONDITION: dict[str, Any] = {
    "sample_size": 16,
    "in_channels": 9,
    "out_channels": 8,
    "center_input_sample": True,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "mid_block_type": "UNetMidBlock2D",
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "only_cross_attention": True,
    "block_out_channels": [8, 24],
    "layers_per_block": 2,
    "downsample_padding": 0,
    "mid_block_scale_factor": 2,
    "dropout": 0.5,
    "act_fn": "gelu",
    "norm_num_groups": 2,
    "norm_eps": 1e-3,
    "cross_attention_dim": 12,
    "transformer_layers_per_block": 2,
    "reverse_transformer_layers_per_block": [1, 2],
    "encoder_hid_dim": 16,
    "encoder_hid_dim_type": "text_proj",
    "attention_head_dim": 4,
    "num_attention_heads": 4,
    "dual_cross_attention": True,
    "use_linear_projection": True,
    "class_embed_type": "identity",
    "addition_embed_type": "text",
    "addition_time_embed_dim": 8,
    "num_class_embeds": 4,
    "upcast_attention": True,
    "resnet_time_scale_shift": "scale_shift",
    "resnet_skip_time_act": True,
    "resnet_out_scale_factor": 2.0,
    "time_embedding_type": "fourier",
    "time_embedding_dim": 48,
    "time_embedding_act_fn": "silu",
    "timestep_post_act": "silu",
    "time_cond_proj_dim": 8,
    "conv_in_kernel": 5,
    "conv_out_kernel": 5,
    "projection_class_embeddings_input_dim": 8,
    "attention_type": "gated",
    "class_embeddings_concat": True,
    "mid_block_only_cross_attention": True,
    "cross_attention_norm": "layer_norm",
    "addition_embed_type_num_heads": 32,
}


@torch.no_grad()
@pytest.mark.parametrize("field", CONDITION)
def test_every_field_of_a_text_to_image_network(field: str, tmp_path: Path) -> None:
    theirs = saved(tmp_path, tiny_condition_unet, {field: CONDITION[field]})
    context = noise(1, 5, 16)

    def read() -> bool:
        net = open_part(tmp_path, read_json(tmp_path / "config.json"), UNet2DConditionModel)
        schedule = read_scheduler(SCHEDULER).schedule
        model = HSpaceUNet(FixedPrompt(net, context), schedule)  # type: ignore[arg-type]
        x, t = noise(2, *model.image_shape), torch.tensor([7, 900])
        ours = model.decode_raw(model.encode(x, t))
        both = context.expand(2, -1, -1)
        return torch.allclose(ours, theirs(x, t, encoder_hidden_states=both).sample, atol=1e-5)

    assert outcome(field, read) in (OBEYED, REFUSED)


KL: dict[str, Any] = {
    "in_channels": 1,
    "out_channels": 1,
    "down_block_types": ["DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D"],
    "block_out_channels": [8, 16],
    "layers_per_block": 2,
    "act_fn": "gelu",
    "latent_channels": 3,
    "norm_num_groups": 2,
    "sample_size": 64,
    "scaling_factor": 0.5,
    "shift_factor": 0.2,
    "latents_mean": [0.1, 0.2, 0.3, 0.4],
    "latents_std": [2.0, 1.0, 0.5, 3.0],
    "force_upcast": False,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "mid_block_add_attention": False,
}
VQ: dict[str, Any] = {
    **{k: v for k, v in KL.items() if k in defaults_of(VQModel)},
    "latent_channels": 4,
    "num_vq_embeddings": 32,
    "vq_embed_dim": 2,
    "norm_type": "spatial",
    "lookup_from_codebook": True,
    "force_upcast": True,
}
VQ_WITH = {"norm_type": {"block_out_channels": [32, 32], "norm_num_groups": 32}}


def wanted(coder: Any, change: Mapping[str, Any], pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Codes by the formula of latent diffusion, and the pictures of diffusers' decoder."""
    done = coder.encode(pictures)
    code = done.latents if isinstance(coder, VQModel) else done.latent_dist.mode()
    scale = change.get("scaling_factor", 1.0 if isinstance(coder, VQModel) else 0.18215)
    mean = torch.tensor(change.get("latents_mean", [change.get("shift_factor", 0.0)]))
    std = torch.tensor(change.get("latents_std", [1.0]))
    rows = (one.view(1, -1, 1, 1) for one in (mean, std))
    shift, spread = rows
    return scale * (code - shift) / spread, coder.decode(code).sample


@torch.no_grad()
@pytest.mark.parametrize(("kind", "build", "field"), [
    *((AutoencoderKL, tiny_kl, field) for field in KL),
    *((VQModel, tiny_vq, field) for field in VQ),
])  # fmt: skip
def test_every_field_of_an_autoencoder(
    kind: Any, build: Callable[..., Any], field: str, tmp_path: Path
) -> None:
    table = KL if kind is AutoencoderKL else VQ
    change = {"scaling_factor": 1.0} if kind is VQModel else {}
    change |= {field: table[field], **VQ_WITH.get(field, {})}
    theirs = saved(tmp_path, build, change)

    def read() -> bool:
        config = read_json(tmp_path / "config.json")
        space = LatentSpace(open_part(tmp_path, config, kind))
        pictures = noise(2, 3, 16, 16)
        codes, back = wanted(theirs, change, pictures)
        ours = space.encode(pictures)
        same = torch.allclose(ours, codes, atol=1e-5)
        return same and torch.allclose(space.decode(ours), back, atol=1e-4)

    refused = ("in_channels", "out_channels", "down_block_types", "up_block_types")
    assert outcome(field, read) == (REFUSED if field in refused else OBEYED)


@pytest.mark.parametrize(
    ("kind", "build"),
    [
        (UNet2DModel, tiny_latent_unet),
        (UNet2DConditionModel, tiny_condition_unet),
        (AutoencoderKL, tiny_kl),
        (VQModel, tiny_vq),
    ],
)
def test_fields_that_diffusers_does_not_know_are_named(
    kind: Any, build: Callable[..., Any], tmp_path: Path
) -> None:
    build().save_pretrained(tmp_path)
    config = read_json(tmp_path / "config.json")
    with pytest.warns(UserWarning, match="config.json: bias_of_mine = 3; .* has no such fields"):
        open_part(tmp_path, {**config, "bias_of_mine": 3}, kind)
    with pytest.raises(AsyrpError, match="before quantising"):
        open_part(tmp_path, {**config, "quantization_config": {"bits": 4}}, kind)


def test_an_autoencoder_is_told_its_statistics_once() -> None:
    for change, message in (
        (
            {"shift_factor": 0.1, "latents_mean": [0.1] * 4},
            "needed one of shift_factor, latents_mean",
        ),
        ({"latents_std": [1.0, 2.0]}, "each of its 4 channels; got latents_std"),
        ({"latents_mean": ["a"] * 4}, "got latents_mean"),
    ):
        with pytest.raises(AsyrpError, match=message):
            LatentSpace(tiny_kl(**change))


def test_half_precision_is_given_up_where_a_config_says_so() -> None:
    assert LatentSpace(tiny_kl().half()).coder.dtype == torch.float32
    assert LatentSpace(tiny_kl(force_upcast=False).half()).coder.dtype == torch.float16


@torch.no_grad()
def test_a_class_that_is_an_embedding_is_no_number() -> None:
    unet = tiny(class_embed_type="identity")
    model = HSpaceUNet(unet, read_scheduler(SCHEDULER).schedule)
    assert model.h_shape == (16, 8, 8)
    x = noise(2, 3, 16, 16)
    with pytest.raises(AsyrpError, match=r"embeddings \(b, e\) and no numbers; got class_labels"):
        model(x, 5, torch.tensor([1, 2]))
    with pytest.raises(AsyrpError, match="no numbers; got class_label 3"):
        HSpaceUNet(unet, model.schedule, class_label=3)


@pytest.mark.parametrize(("wide", "made"), [(6, 3), (1, 3), (3, 1), (4, 3), (2, 6)])
def test_channels_that_do_not_answer_x_are_refused(wide: int, made: int) -> None:
    unet = tiny(in_channels=wide, out_channels=made)
    with pytest.raises(AsyrpError, match=f"x of {wide} channels .* this one makes {made}"):
        HSpaceUNet(unet, read_scheduler(SCHEDULER).schedule)


def test_a_text_encoder_of_another_width_is_refused() -> None:
    with pytest.raises(AsyrpError, match=r"16 numbers a token, .* attends to 24 \(cross"):
        FixedPrompt(tiny_condition_unet(cross_attention_dim=24), noise(1, 5, 16))


def test_a_network_of_another_class_is_named(tmp_path: Path) -> None:
    tiny_condition_unet(in_channels=3, out_channels=3).save_pretrained(tmp_path / "unet")
    with pytest.raises(AsyrpError, match="holds a UNet2DConditionModel; give the folder of"):
        load_model(tmp_path)
    tiny().save_pretrained(tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    (tmp_path / "other" / "config.json").write_text(
        json.dumps(config | {"_class_name": "UNetSpatioTemporalConditionModel"})
    )
    with (
        pytest.warns(UserWarning, match="no scheduler_config"),
        pytest.raises(AsyrpError, match="needed a UNet2DModel in .* holds a UNetSpatioTemporal"),
    ):
        load_model(tmp_path / "other")


# processors

PROCESSOR = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}}


@pytest.mark.parametrize(
    "change",
    [
        {"do_pad": True},
        {"do_flip_channel_order": True},
        {"rescale_factor": 1 / 127.5},
        {"crop_pct": 0.9},
        {"keep_aspect_ratio": True},
        {"max_num_patches": 64},
        {"resample": 0},
        {"image_std": [0.5, 0.0, 0.5]},
        {"image_mean": [float("nan")] * 3},
        {"image_mean": ["a", "b", "c"]},
    ],
)
def test_processors_of_other_pictures_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(AsyrpError):
        view_of({**PROCESSOR, **change}, 32)


def test_an_encoder_of_pictures_of_another_size_is_refused(tmp_path: Path) -> None:
    save_clip(tmp_path)
    crop = {"crop_size": {"height": 8, "width": 8}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**PROCESSOR, **crop}))
    with pytest.raises(AsyrpError, match=r"pictures of 32 x 32, .* make others \(\(8, 8\)\)"):
        load_clip(tmp_path)


def test_a_scheduler_is_of_the_class_that_its_pipeline_names(tmp_path: Path) -> None:
    tiny_unet().save_pretrained(tmp_path / "unet")
    DDPMScheduler().save_pretrained(tmp_path / "scheduler")
    for name, refused in (("PNDMScheduler", False), ("FlowMatchEulerDiscreteScheduler", True)):
        index = {"scheduler": ["diffusers", name], "unet": ["diffusers", "UNet2DModel"]}
        (tmp_path / "model_index.json").write_text(json.dumps(index))
        with pytest.raises(AsyrpError, match=name) if refused else nullcontext():
            load_model(tmp_path)


def test_the_rest_of_a_processor_is_obeyed_or_named() -> None:
    with pytest.warns(UserWarning, match="passed over in preprocessor_config.json: do_sharpen = T"):
        view_of({**PROCESSOR, "do_sharpen": True}, 32)
    assert view_of({**PROCESSOR, "size": {"shortest_edge": 384}}, 224).crop is None
    vit = {"feature_extractor_type": "ViTFeatureExtractor", "size": 224, "image_mean": [0.5] * 3}
    assert view_of({**vit, "image_std": [0.5] * 3}, 224).size == (224, 224)
    with pytest.raises(AsyrpError, match="settings are not known here"):
        view_of({"feature_extractor_type": "ViTFeatureExtractor", "size": 224}, 224)
    for no in (False, 0):
        plain = view_of({"feature_extractor_type": "ViTFeatureExtractor", "do_normalize": no}, 8)
        assert (plain.mean, plain.std) == ((0.0,) * 3, (1.0,) * 3)
    assert math.isclose(sum(view_of({}, 8).mean), 1.3475, abs_tol=1e-3)


# a pipeline's index


def indexed(folder: Path, **entries: Any) -> Path:
    file = save_stable_diffusion(folder) / "model_index.json"
    parts = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "scheduler": "DDIMScheduler"}
    index: dict[str, Any] = {name: ["diffusers", kind] for name, kind in parts.items()}
    index |= {"text_encoder": ["transformers", "CLIPTextModel"]}
    index |= {"tokenizer": ["transformers", "CLIPTokenizer"]}
    file.write_text(json.dumps({"_class_name": "StableDiffusionPipeline", **index, **entries}))
    return folder


PARTS = {
    "controlnet": ["diffusers", "ControlNetModel"],
    "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
    "motion_adapter": ["diffusers", "MotionAdapter"],
    "is_cosxl_edit": True,
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_a_pipeline_that_are_not_taken_are_named(name: str, tmp_path: Path) -> None:
    folder = indexed(tmp_path, **{name: PARTS[name]})
    for load in (load_model, AsyrpPipeline.from_pretrained):
        with pytest.warns(UserWarning, match=f"passed over in .*model_index.json: {name} = "):
            load(folder)


def test_what_pipelines_usually_are_made_of_is_no_news(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    load_model(
        indexed(
            tmp_path,
            safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
            feature_extractor=["transformers", "CLIPImageProcessor"],
            image_encoder=[None, None],
            requires_safety_checker=True,
            requires_aesthetics_score=False,
        )
    )
    assert not list(recwarn)


def test_a_network_that_is_told_how_beautiful_pictures_are_is_refused(tmp_path: Path) -> None:
    folder = indexed(tmp_path, requires_aesthetics_score=True)
    for load in (load_model, AsyrpPipeline.from_pretrained):
        with pytest.raises(AsyrpError, match="requires_aesthetics_score = True means .* refiner"):
            load(folder)
