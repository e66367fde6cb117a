"""Asyrp as a pipeline of diffusers. It drives the same walk as everything else here."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    ImagePipelineOutput,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)
from torch import Tensor, nn

import asyrp.networks.original_unet  # noqa: F401  (from_pretrained finds it among the imported)
from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import Attribute, reverse_process
from asyrp.method.ddim import draw_noise, invert_steps
from asyrp.method.direction_file import SavedDirection
from asyrp.method.editing import inversion_grid
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_space import LatentSpace, scale_of
from asyrp.method.schedule import Pair
from asyrp.method.text_conditioning import FixedPrompt
from asyrp.networks.diffusers_folder import check_index
from asyrp.networks.direction_model import DirectionModel
from asyrp.networks.latent_pipeline import Prompt, prompted
from asyrp.networks.pipeline_inputs import (
    TEXT_PARTS,
    PictureProcessor,
    answered,
    check_arguments,
    check_components,
    check_names,
    generators_of,
    text_parts_of,
)
from asyrp.networks.scheduler_config import read_scheduler
from asyrp.networks.weights import check_part
from asyrp.storage.finite import check_result

StepEnd = Callable[[Any, int, int, dict[str, Tensor]], Mapping[str, Tensor] | None]


class AsyrpPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Edit images, or samples, in the h-space of a frozen diffusion model (Kwon et al. 2023).

    Args:
        unet: a network with a mid block, of pixels or of latents.
        scheduler: of its noise schedule and kind of prediction; it takes no steps itself.
        direction: what the edit is; None reconstructs.
        vae, vqvae: the autoencoder of a network of latents, by the name that its pipeline has.
        text_encoder, tokenizer: of a text-to-image network; text_encoder_2, tokenizer_2: the second
            of Stable Diffusion XL, for which no prompt is zeros where it was trained so.
    """

    model_cpu_offload_seq = "text_encoder->text_encoder_2->unet->vae->vqvae"
    _optional_components = ["direction", "vae", "vqvae", *TEXT_PARTS]  # noqa: RUF012
    _exclude_from_cpu_offload = ["direction"]  # noqa: RUF012
    _callback_tensor_inputs = ["latents"]  # noqa: RUF012

    def __init__(
        self,
        unet: UNet2DModel | UNet2DConditionModel,
        scheduler: DDIMScheduler,
        direction: DirectionModel | None = None,
        vae: AutoencoderKL | None = None,
        vqvae: VQModel | None = None,
        text_encoder: Any = None,
        tokenizer: Any = None,
        text_encoder_2: Any = None,
        tokenizer_2: Any = None,
        force_zeros_for_empty_prompt: bool = True,
    ):
        super().__init__()
        coder = vae if vqvae is None else vqvae
        if coder is not None:  # a config that was silent would be saved with diffusers' guess
            coder.register_to_config(scaling_factor=scale_of(coder))
        self.register_modules(
            unet=unet,
            scheduler=scheduler,
            direction=direction,
            vae=vae,
            vqvae=vqvae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            text_encoder_2=text_encoder_2,
            tokenizer_2=tokenizer_2,
        )
        self.register_to_config(force_zeros_for_empty_prompt=force_zeros_for_empty_prompt)
        self.image_processor = PictureProcessor(vae_scale_factor=1)
        self._interrupt = False

    @classmethod
    def of(cls, model: HSpaceUNet, direction: SavedDirection | None = None) -> "AsyrpPipeline":
        """The pipeline of a network from `load_model` and a direction from `load_direction`.

        Raises:
            AsyrpError: the network's prompt is fixed, which leaves its text encoder behind.
        """
        if isinstance(model.unet, FixedPrompt):
            raise AsyrpError(
                "a text-to-image pipeline needs its tokenizer and text_encoder; make it with "
                "AsyrpPipeline.from_pretrained"
            )
        coder = model.space.coder if isinstance(model.space, LatentSpace) else None
        parts: dict[str, Any] = {"vqvae" if isinstance(coder, VQModel) else "vae": coder}
        given = None if direction is None else DirectionModel.of(direction).to(model.device)
        return cls(model.unet, scheduler_of(model), given, **parts)

    @classmethod
    def from_pretrained(cls, source: str | PathLike[str], **how: Any) -> "AsyrpPipeline":
        """As diffusers does; raises AsyrpError where a folder lacks weights of a part."""
        check_index(Path(source))
        pipe: AsyrpPipeline = super().from_pretrained(source, trust_remote_code=False, **how)
        for name, part in pipe.components.items():
            if isinstance(part, nn.Module) and (folder := Path(source) / name).is_dir():
                check_part(part, folder)
        return pipe

    def save_pretrained(self, *words: Any, **how: Any) -> None:
        """As diffusers does, which before 0.32 writes no weights in another order of memory."""
        self.unet.to(memory_format=torch.contiguous_format)
        super().save_pretrained(*words, **how)

    @property
    def interrupt(self) -> bool:
        """Whether the remaining steps are skipped; a callback may set `_interrupt`."""
        return self._interrupt

    @torch.no_grad()
    def __call__(
        self,
        image: Any = None,
        prompt: str = "",
        strength: float | None = None,
        t_edit: int | None = None,
        t_start: int | None = None,
        t_boost: int | None = None,
        num_inference_steps: int = 40,
        batch_size: int = 1,
        latents: Tensor | None = None,
        refinements: int = 1,
        guidance_scale: float = 1.0,
        negative_prompt: str = "",
        class_label: int | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepEnd | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> ImagePipelineOutput | tuple[Any]:
        """Edited images: of `image` inverted, of given `latents`, or of `batch_size` samples.

        Args:
            image: PIL images, arrays or tensors, see `pipeline_inputs.read_pictures`.
            prompt, negative_prompt, guidance_scale: of a text-to-image network; guidance 1 is
                the prompt alone.
            class_label: of a class-conditional network, the same for all images.
            strength: times the strength of the direction's card, as in `asyrp edit`; negative
                reverses it.
            t_edit, t_start, t_boost: timesteps of the phases; None for the direction's own.
            num_inference_steps: n of the paper's grid, for the inversion too.
            latents: x_T, (n, c, height, width), in place of an image.
            refinements: fixed-point iterations a step of the inversion; 0 is the paper's code.
            generator: one, or one an image; draws x_T of samples and the noise below t_boost.
            output_type: "pil", "np" or "pt" in [0, 1], or "latent" for the network's own x.
            callback_on_step_end: called as in diffusers, `(pipe, step, t, {"latents": x})`, and
                may return other latents.

        Raises:
            AsyrpError: inputs that do not fit each other or the network.
        """
        check_arguments({name: value for name, value in locals().items() if name != "self"})
        callback = callback_on_step_end or _keep
        names = callback_on_step_end_tensor_inputs or ()
        check_names(names, self._callback_tensor_inputs)
        self._interrupt = False
        model = self._model(prompt, negative_prompt, guidance_scale, class_label)
        given = self._given(model, image, latents)
        generators = generators_of(generator, batch_size if given is None else len(given))
        attributes = self._attributes(strength, t_edit, t_start)
        boost = self._boost(t_boost, attributes)
        grid = inversion_grid(model, num_inference_steps)
        with self.progress_bar(total=len(grid) + (0 if image is None else len(grid) - 1)) as bar:
            x = self._noise(model, generators) if given is None else given
            self._bring()
            for step in () if image is None else self._inverted(model, x, grid, refinements):
                x = step
                bar.update()
            for i, pair in enumerate(grid):
                if self.interrupt:
                    continue
                (done,) = reverse_process(model, x, grid[i : i + 1], attributes, boost, generators)
                x = answered(callback(self, i, pair.t, dict.fromkeys(names, done.x)), done.x)
                if callback is not _keep:  # it may have decoded, and sent the network away
                    self._bring()
                bar.update()
        images = self._finished(model, x, output_type)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _model(
        self, prompt: str, negative: str, guidance: float, class_label: int | None
    ) -> HSpaceUNet:
        """The components as one network; cheap, since it copies nothing."""
        check_components(self.components)
        config = self.scheduler.config
        coder = self.vae if self.vqvae is None else self.vqvae
        space = None if coder is None else LatentSpace(coder)
        network: Any = self.unet
        if isinstance(network, UNet2DConditionModel):
            asked, device = Prompt(prompt or "", guidance, negative or ""), self._execution_device
            parts = text_parts_of(network, [getattr(self, name) for name in TEXT_PARTS])
            zeros = self.config["force_zeros_for_empty_prompt"]
            network = prompted(network, parts, asked, cast(LatentSpace, space), zeros, device)
        elif prompt or guidance != 1.0:
            raise AsyrpError("this network takes no prompt: it is unconditional")
        noise = read_scheduler({**config, "_class_name": type(self.scheduler).__name__}, quiet=True)
        return HSpaceUNet(network, *noise, space=space, class_label=class_label)

    def _bring(self) -> None:
        """Have the network where it is run; model offload never sees calls of its parts."""
        hook = getattr(self.unet, "_hf_hook", None)
        if hook is not None:
            hook.pre_forward(self.unet)

    def _given(self, model: HSpaceUNet, image: Any, latents: Tensor | None) -> Tensor | None:
        """Clean x of images, or x_T; None for samples."""
        if image is not None and latents is not None:
            raise AsyrpError("needed an image or latents, not both")
        if image is not None:
            _, height, width = model.picture_shape
            pictures = self.image_processor.preprocess(image, height, width)
            latents = model.space.encode(pictures.to(self._execution_device, torch.float32))
        shape = None if latents is None else tuple(latents.shape)
        if shape is not None and (shape[1:] != model.image_shape or not shape[0]):
            raise AsyrpError(
                f"this network needs x of shape (n, {', '.join(map(str, model.image_shape))}); "
                f"got {shape}"
            )
        return None if latents is None else latents.to(self._execution_device, torch.float32)

    def _noise(self, model: HSpaceUNet, generators: Sequence[torch.Generator]) -> Tensor:
        shape = (len(generators), *model.image_shape)
        return draw_noise(torch.zeros(shape, device=self._execution_device), generators)

    def _inverted(
        self, model: HSpaceUNet, x: Tensor, grid: Sequence[Pair], refinements: int
    ) -> Iterator[Tensor]:
        steps = invert_steps(model, model.schedule, x, grid, refinements=refinements)
        return (step.x for step in steps)

    def _attributes(
        self, strength: float | None, t_edit: int | None, t_start: int | None
    ) -> list[Attribute]:
        """The direction as the walk takes it; it is called anew at every step."""
        if self.direction is None:
            if strength is not None or t_edit is not None or t_start is not None:
                raise AsyrpError("this pipeline has no direction to apply; load it with one")
            return []
        saved = self.direction.saved()
        total = saved.card.strength * (1.0 if strength is None else strength)
        whole = saved.attribute(total, t_edit, t_start)
        return [replace(whole, direction=self.direction)]

    def _boost(self, asked: int | None, attributes: Sequence[Attribute]) -> int:
        if asked is not None or not attributes:
            return asked or 0
        return int(min(self.direction.card.t_boost, attributes[0].t_edit))

    def _finished(self, model: HSpaceUNet, x: Tensor, output_type: str) -> Any:
        if output_type == "latent":
            return x
        pictures = check_result(model.space.decode(x), "a picture")
        return self.image_processor.postprocess(pictures, output_type=output_type)


def scheduler_of(model: HSpaceUNet) -> DDIMScheduler:
    """A scheduler whose config says a network's noise schedule and kind of prediction."""
    if model.time_scale != 1.0:
        raise AsyrpError("no scheduler of diffusers rescales timesteps; convert the network first")
    bars = model.schedule.alpha_bars
    return DDIMScheduler(
        num_train_timesteps=len(bars),
        trained_betas=[1 - b / a for a, b in pairwise((1.0, *bars))],
        clip_sample=False,
        prediction_type=model.prediction,
    )


def _keep(pipe: Any, step: int, t: int, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return tensors
