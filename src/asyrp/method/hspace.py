"""A diffusers U-Net cut at its bottleneck: h is a value that callers may change.

`decode(encode(x, t))` is the network's own forward, bit for bit; everything that Asyrp does to a
network is arithmetic on `Encoded.h` between the two halves.
"""

from collections.abc import Mapping
from numbers import Integral
from typing import Any, Literal, NamedTuple, cast, get_args

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.method.fingerprint import fingerprint_of
from asyrp.method.latent_space import Pixels, Space
from asyrp.method.schedule import NoiseSchedule
from asyrp.runtime.precision import REDUCED, autocast

Prediction = Literal["epsilon", "v_prediction", "sample"]

VECTORS = "the classes of this network are embeddings (b, e) and no numbers"


class Encoded(NamedTuple):
    """What the decoder needs: the bottleneck h (b, c, h', w'), the skips, and the inputs.

    emb: (b, e) time embedding, class embedding included.
    """

    h: Tensor
    skips: tuple[Tensor, ...]
    emb: Tensor
    x: Tensor
    t: Tensor


class Roots(NamedTuple):
    """sqrt(alpha_bar) and sqrt(1 - alpha_bar) of every timestep, (T,)."""

    signal: Tensor
    noise: Tensor


class HSpaceUNet(nn.Module):
    """A frozen noise predictor with its bottleneck exposed.

    Args:
        unet: any `UNet2DModel` with a mid block.
        schedule: the noise schedule it was trained on.
        prediction: what its output means; `decode` always returns eps.
        time_scale: factor from our timesteps to the network's (1000 / T for networks of
            improved-diffusion with rescaled timesteps).
        origin: the fingerprint of the weights before they were rounded to a lower precision.
        space: where its images live, a `LatentSpace` for latent diffusion; None for pixels.
        class_label: the class of all images where a call names none, for class-conditional
            networks only.
    """

    space: Space
    _hashed: tuple[tuple[tuple[int, int], ...], str] = ((), "")  # of which weights, and the hash

    def __init__(
        self,
        unet: UNet2DModel,
        schedule: NoiseSchedule,
        prediction: Prediction = "epsilon",
        time_scale: float = 1.0,
        origin: str | None = None,
        space: Space | None = None,
        class_label: int | None = None,
    ):
        super().__init__()
        _check(unet, prediction)
        if class_label is not None:
            _check_label(unet, class_label)
        self.unet = unet.eval().requires_grad_(False)
        self.schedule = schedule
        self.prediction = prediction
        self.time_scale = time_scale
        self._origin = origin
        self.class_label = class_label
        self.space = Pixels() if space is None else space
        self._roots: dict[tuple[torch.device, torch.dtype], Roots] = {}

    @property
    def config(self) -> Mapping[str, Any]:
        """The diffusers config of the network."""
        return cast(Mapping[str, Any], self.unet.config)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of its products."""
        return cast(torch.dtype, self.unet.dtype)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return cast(torch.device, self.unet.device)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of its images."""
        size = self.config["sample_size"]
        height, width = (size, size) if isinstance(size, int) else tuple(size)
        return int(self.config["in_channels"]), height, width

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of pictures; that of its images but for latent diffusion."""
        return self.space.picture_shape(self.image_shape)

    @property
    def t_top(self) -> int:
        """Where walks begin: T - 1, or lower where P_t would be made of the errors of eps."""
        whole = self.schedule.length - 1
        return self.schedule.steady_top if self.prediction == "epsilon" else whole

    @property
    def h_channels(self) -> int:
        """Channels of h."""
        return int(self.config["block_out_channels"][-1])

    @property
    def h_shape(self) -> tuple[int, ...]:
        """(c, h', w'), found by one pass of the encoder."""
        with torch.no_grad():
            zeros = torch.zeros(1, *self.image_shape, device=self.device, dtype=self.dtype)
            labels: Tensor | None = torch.zeros(1, device=self.device, dtype=torch.long)
            if self.config.get("class_embed_type") == "identity":
                labels = zeros.new_zeros(1, self.emb_channels)
            elif self.unet.class_embedding is None:
                labels = None
            return tuple(self.encode(zeros, 0, labels).h.shape[1:])

    @property
    def emb_channels(self) -> int:
        """Channels of the time embedding."""
        return int(self.unet.time_embedding.linear_2.out_features)

    def encode(self, x: Tensor, t: int | Tensor, class_labels: Tensor | None = None) -> Encoded:
        """The network up to and including its mid block.

        Args:
            x: (b, c, height, width), in the precision that `decode` answers in.
            t: timestep in 0..T-1, one for all or (b,).
            class_labels: (b,), for class-conditional networks only; (b, e) for those whose
                class_embed_type is "identity".
        """
        # filled where x is, since a number that is copied to a GPU makes the CPU wait for it
        times = t if isinstance(t, Tensor) else torch.full((), t, device=x.device)
        times = times.to(x.device).expand(x.shape[0])
        emb = self._embed(times, class_labels)
        same = class_labels is None and not isinstance(t, Tensor) and len(emb) == len(x)
        if same and self.dtype in REDUCED:
            emb = emb[:1].expand_as(emb)  # so that blocks can tell that rows are the same
        sample = 2 * x - 1.0 if self.config["center_input_sample"] else x
        with autocast(x.device, self.dtype):
            sample = self.unet.conv_in(sample.to(self.dtype))
            skips: tuple[Tensor, ...] = (sample,)
            for block in self.unet.down_blocks:
                sample, block_skips = block(hidden_states=sample, temb=emb)
                skips += tuple(block_skips)
            return Encoded(self.unet.mid_block(sample, emb), skips, emb, x, times)

    def decode_raw(self, encoded: Encoded, h: Tensor | None = None) -> Tensor:
        """The rest of the network, from `h` (its own where none is given): its own output."""
        sample = encoded.h if h is None else h
        skips = encoded.skips
        with autocast(sample.device, self.dtype):
            for block in self.unet.up_blocks:
                count = len(block.resnets)
                sample = block(sample, skips[-count:], encoded.emb)
                skips = skips[:-count]
            sample = self.unet.conv_act(self.unet.conv_norm_out(sample))
            return cast(Tensor, self.unet.conv_out(sample))

    def decode(self, encoded: Encoded, h: Tensor | None = None) -> Tensor:
        """The predicted noise eps, (b, c, height, width); learned variances are left out."""
        raw = self.decode_raw(encoded, h)[:, : encoded.x.shape[1]].to(encoded.x.dtype)
        if self.prediction == "epsilon":
            return raw
        tables = self._roots_like(raw)
        signal, noise = (table[encoded.t].view(-1, 1, 1, 1) for table in tables)
        if self.prediction == "v_prediction":
            return signal * raw + noise * encoded.x
        return (encoded.x - signal * raw) / noise

    def _roots_like(self, x: Tensor) -> "Roots":
        """Roots in the precision of x, where x is; made in float64, which not every device has."""
        kind = x.device, x.dtype
        if kind not in self._roots:
            alpha_bars = torch.tensor(self.schedule.alpha_bars, dtype=torch.float64)
            parts = (alpha_bars.sqrt(), (1 - alpha_bars).sqrt())
            self._roots[kind] = Roots(*(part.to(x.dtype).to(x.device) for part in parts))
        return self._roots[kind]

    def forward(self, x: Tensor, t: int | Tensor, class_labels: Tensor | None = None) -> Tensor:
        """Predicted noise eps of x at t."""
        return self.decode(self.encode(x, t, class_labels))

    def fingerprint(self) -> str:
        """SHA-256 (hex) of what the network computes: config, schedule, prediction, weights.

        Directions and latents carry it. Rounding to a lower precision leaves it as it was. Computed
        once for as long as no weight changes.
        """
        if self._origin is not None:
            return self._origin
        weights = self.unet.state_dict().values()
        state = tuple((value.data_ptr(), value._version) for value in weights)
        if state != self._hashed[0]:
            told = (self.prediction, self.time_scale, self.class_label)
            self._hashed = (state, fingerprint_of(self.unet, self.schedule.alpha_bars, *told))
        return self._hashed[1]

    def _embed(self, t: Tensor, class_labels: Tensor | None) -> Tensor:
        wanted = self.unet.class_embedding is not None
        if class_labels is None and self.class_label is not None:
            class_labels = torch.full_like(t, self.class_label)
        if wanted != (class_labels is not None):
            needs = (
                "needs class_labels (one for each image), or a class for all of them: "
                "load_model(..., class_label=N), --class-label N"
            )
            raise AsyrpError(f"this network {needs if wanted else 'takes no class_labels'}")
        vectors = self.config.get("class_embed_type") == "identity"
        if class_labels is not None and vectors and class_labels.ndim != 2:
            raise AsyrpError(f"{VECTORS}; got class_labels of shape {tuple(class_labels.shape)}")
        t = t if self.time_scale == 1.0 else t * self.time_scale
        own = self.unet.time_embedding.linear_2.weight.dtype  # not rounded with the products
        emb: Tensor = self.unet.time_embedding(self.unet.time_proj(t).to(own))
        if class_labels is None:
            return emb
        if self.config["class_embed_type"] == "timestep":
            class_labels = self.unet.time_proj(class_labels).to(own)
        return cast(Tensor, emb + self.unet.class_embedding(class_labels).to(own))


def _check(unet: UNet2DModel, prediction: str) -> None:
    if prediction not in get_args(Prediction):
        known = ", ".join(get_args(Prediction))
        raise AsyrpError(f"prediction must be one of {known}; got {prediction!r}")
    if unet.mid_block is None:
        raise AsyrpError("h-space is the output of the mid block, and this network has none")
    wide, made = unet.config["in_channels"], unet.config["out_channels"]
    if made not in (wide, 2 * wide):  # the second half is a learned variance
        raise AsyrpError(
            f"needed a network that answers x of {wide} channels with as many, or twice as many "
            f"for a learned variance; this one makes {made}, so it takes a condition beside x or "
            "predicts something else"
        )
    _check_size(unet.config)
    if unet.config["time_embedding_type"] == "fourier" or _has_skip_convs(unet):
        raise AsyrpError(
            "this network is a score-SDE model (Fourier time embedding or skip convolutions); "
            "needed: a UNet2DModel with discrete timesteps"
        )


def _check_label(unet: UNet2DModel, label: int) -> None:
    count = unet.config.get("num_class_embeds")
    if unet.class_embedding is None:
        raise AsyrpError(f"this network takes no class; got class_label {label}")
    if unet.config["class_embed_type"] == "identity":
        raise AsyrpError(f"{VECTORS}; got class_label {label}")
    if not isinstance(label, Integral) or label < 0 or (count is not None and label >= count):
        top = "0 or more" if count is None else f"0..{count - 1}"
        raise AsyrpError(f"a class of this network lies in {top}; got class_label {label}")


def _check_size(config: Mapping[str, Any]) -> None:
    size = config["sample_size"]
    if size is None:
        raise AsyrpError(
            "this network does not say how large its pictures are; add sample_size to its config"
        )
    halvings = len(config["block_out_channels"]) - 1
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if any(side < 1 or side % (1 << halvings) for side in sides):
        raise AsyrpError(
            f"this network halves its pictures {halvings} times; its sample_size {size} does not "
            f"divide by {1 << halvings}"
        )


def _has_skip_convs(unet: UNet2DModel) -> bool:
    return any(hasattr(block, "skip_conv") for block in (*unet.down_blocks, *unet.up_blocks))
