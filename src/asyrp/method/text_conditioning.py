"""Text-to-image networks of Stable Diffusion 1.x, 2.x and XL, with the prompt fixed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from asyrp.errors import AsyrpError

# What would need inputs besides x, t and the prompt.
_FOREIGN = (
    "class_embed_type",
    "num_class_embeds",
    "encoder_hid_dim_type",
    "time_cond_proj_dim",
    "time_embedding_act_fn",
    "timestep_post_act",
)
# What diffusers builds and cannot run without them.
_OFF = ("class_embeddings_concat", "dual_cross_attention")


class FixedPrompt(nn.Module):
    """A `UNet2DConditionModel` as a network of x and t alone, in the parts of a `UNet2DModel`.

    `HSpaceUNet` takes it in place of one. With guidance w other than 1 both halves of the network
    carry two rows an image, without and with the prompt, and its output is
    out_without + w (out_with - out_without) (Ho and Salimans 2022). So h has 2b rows, and a
    direction acts on both.

    Args:
        context: hidden states of the prompt (1, tokens, d), or of the negative prompt and the
            prompt (2, tokens, d) for guidance other than 1.
        guidance: w; 1 is the prompt alone.
        added: of Stable Diffusion XL, `text_and_sizes` of each row of the context.
        source: gives what context and added are computed from, as a hash for fingerprints, see
            `asyrp.method.fingerprint`; without one they count themselves.
    """

    context: Tensor
    weight: Tensor
    added: Tensor | None

    def __init__(
        self,
        network: UNet2DConditionModel,
        context: Tensor,
        guidance: float = 1.0,
        added: Tensor | None = None,
        source: Callable[[], str] | None = None,
    ):
        super().__init__()
        _check(network.config, context, guidance)
        _check_added(network.config, added, len(context))
        self.network: Any = network
        self.register_buffer("context", context.detach().to(network.dtype))
        self.register_buffer("added", None if added is None else added.detach().to(network.dtype))
        self.source = source
        self.guidance = guidance  # the buffer is rounded with the weights; fingerprints see it
        self.register_buffer("weight", torch.tensor(guidance, dtype=torch.float64))

    def __getattr__(self, name: str) -> Any:
        """What it has not is the network's: config, dtype, device, the last layers."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "network":  # while it is being made or copied
                raise
            return getattr(self.network, name)

    @property
    def time_embedding(self) -> "nn.Module | AddedEmbedding":
        """Of the network; of Stable Diffusion XL with that of the prompt and the sizes added."""
        own = cast(nn.Module, self.network.time_embedding)
        if self.added is None:
            return own
        return AddedEmbedding(own, self.network.add_embedding, self.added)

    @property
    def down_blocks(self) -> "list[Prompted]":
        """The network's, each with the prompt."""
        return [Prompted(block, self.context) for block in self.network.down_blocks]

    @property
    def mid_block(self) -> "Prompted | None":
        """The network's, with the prompt."""
        block = self.network.mid_block
        return None if block is None else Prompted(block, self.context)

    @property
    def up_blocks(self) -> "list[Prompted]":
        """The network's, each with the prompt."""
        return [Prompted(block, self.context) for block in self.network.up_blocks]

    def time_proj(self, t: Tensor) -> Tensor:
        """Sinusoids of t, once for each row of an image."""
        return cast(Tensor, self.network.time_proj(self._rows(t)))

    def conv_in(self, x: Tensor) -> Tensor:
        """The first convolution, once for each row of an image."""
        return cast(Tensor, self.network.conv_in(self._rows(x)))

    def conv_out(self, hidden: Tensor) -> Tensor:
        """The last convolution, with the rows of an image put together."""
        out: Tensor = self.network.conv_out(hidden)
        if len(self.context) == 1:
            return out
        without, prompted = out.chunk(2)
        return without + self.guidance * (prompted - without)

    def _rows(self, values: Tensor) -> Tensor:
        return torch.cat([values] * len(self.context))


class AddedEmbedding:
    """The embedding of t, plus that of what is the same for all images (SDXL's `text_time`)."""

    def __init__(self, of_time: Any, of_added: Any, added: Tensor):
        self._of_time, self._of_added, self._added = of_time, of_added, added

    @property
    def linear_2(self) -> nn.Module:
        """Its last layer."""
        return cast(nn.Module, self._of_time.linear_2)

    def __call__(self, sinusoids: Tensor) -> Tensor:
        """(rows, d) -> (rows, e), a copy of what is added for each image."""
        emb: Tensor = self._of_time(sinusoids)
        rows = self._added.repeat_interleave(len(emb) // len(self._added), dim=0)
        return emb + cast(Tensor, self._of_added(rows))


class Prompted:
    """A block of the network that is called as a block of a `UNet2DModel` is."""

    def __init__(self, block: Any, context: Tensor):
        self._block, self._context = block, context

    @property
    def resnets(self) -> nn.ModuleList:
        """Of the block."""
        return cast(nn.ModuleList, self._block.resnets)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it; cross-attention gets the prompt, a copy for each image."""
        if getattr(self._block, "has_cross_attention", False):
            rows = len(next(value for value in (*args, *kwargs.values())))
            count = rows // len(self._context)
            kwargs["encoder_hidden_states"] = self._context.repeat_interleave(count, dim=0)
        return self._block(*args, **kwargs)


def _check(config: Mapping[str, Any], context: Tensor, guidance: float) -> None:
    foreign = [name for name in _FOREIGN if config.get(name) is not None]
    foreign += [name for name in _OFF if config.get(name)]
    if foreign or config.get("conv_in_kernel", 3) != 3 or config["norm_num_groups"] is None:
        raise AsyrpError(
            "needed a network as in Stable Diffusion 1.x or 2.x, with x, t and a prompt as its "
            f"only inputs; this one has {', '.join(foreign) or 'another first or last layer'}"
        )
    widths = config["cross_attention_dim"]
    wide = {widths} if isinstance(widths, int) else {*widths}
    if wide != {context.shape[-1]}:
        raise AsyrpError(
            f"the text encoder's states have {context.shape[-1]} numbers a token, and the network "
            f"attends to {', '.join(map(str, sorted(wide)))} (cross_attention_dim); they belong "
            "to different pipelines: take all parts from one"
        )
    needed = 1 if guidance == 1 else 2
    if context.ndim != 3 or len(context) != needed:
        raise AsyrpError(
            f"guidance {guidance} needs {needed} prompt(s) as hidden states ({needed}, tokens, d); "
            f"got {tuple(context.shape)}"
        )


def _check_added(config: Mapping[str, Any], added: Tensor | None, rows: int) -> None:
    kind = config.get("addition_embed_type")
    if kind not in (None, "text_time"):
        raise AsyrpError(
            "needed a network whose only other inputs are the pooled prompt and the sizes of "
            f"Stable Diffusion XL (text_time); this one has addition_embed_type {kind!r}"
        )
    width = config.get("projection_class_embeddings_input_dim") if kind else None
    has = None if added is None else tuple(added.shape)
    if has != (None if kind is None else (rows, width)):
        raise AsyrpError(
            f"a network with addition_embed_type {kind} needs "
            f"{'nothing' if kind is None else f'{(rows, width)} numbers'} besides its prompt; got "
            f"{'nothing' if has is None else has}; load it as a whole folder of its pipeline"
        )


TextStates = Callable[[list[str]], Tensor]


class PooledStates(NamedTuple):
    """Texts as Stable Diffusion XL reads them: (n, tokens, d) and (n, p)."""

    states: Tensor
    pooled: Tensor


def prompt_states(encode: TextStates, prompt: str, negative: str, guidance: float) -> Tensor:
    """The context of a prompt: (1, tokens, d), or (2, tokens, d) for guidance other than 1."""
    return encode([prompt] if guidance == 1 else [negative, prompt])


def text_states(tokenizer: Any, text_encoder: Any) -> TextStates:
    """How Stable Diffusion reads a prompt: padded to the full length, last hidden states."""

    @torch.no_grad()
    def encode(texts: list[str]) -> Tensor:
        return cast(Tensor, text_encoder(_tokens(tokenizer, text_encoder, texts))[0])

    return encode


def _tokens(tokenizer: Any, text_encoder: Any, texts: list[str]) -> Tensor:
    """(n, longest), where the text encoder is."""
    longest = min(tokenizer.model_max_length, text_encoder.config.max_position_embeddings)
    rows = tokenizer(texts, padding="max_length", max_length=longest).input_ids
    count, text = max((len(row), text) for row, text in zip(rows, texts, strict=True))
    if count > longest:
        raise AsyrpError(
            f"this network reads at most {longest} tokens of a prompt; {text[:40]!r}... "
            f"has {count}; shorten it"
        )
    return torch.tensor(rows, device=text_encoder.device)


@torch.no_grad()
def pooled_states(parts: Sequence[tuple[Any, Any]], texts: list[str]) -> PooledStates:
    """How Stable Diffusion XL reads texts: the last hidden states but one of both encoders, side by
    side, and the projected end token of the second (Podell et al. 2023, section 2.1).

    parts: (tokenizer, text encoder) of each.
    """
    outs = [
        encoder(_tokens(tokenizer, encoder, texts), output_hidden_states=True)
        for tokenizer, encoder in parts
    ]
    states = torch.cat([out.hidden_states[-2] for out in outs], dim=-1)
    return PooledStates(states, outs[-1].text_embeds)


def text_and_sizes(network: Any, pooled: Tensor, size: tuple[int, int]) -> Tensor:
    """What Stable Diffusion XL adds to the embedding of t, before its layers: (n, p + 6 d).

    The pooled texts (n, p), then sinusoids of six numbers: height and width of the original, the
    corner of its crop, height and width of the picture; here of pictures that were not cropped.
    """
    height, width = size
    numbers = torch.tensor([height, width, 0, 0, height, width], device=pooled.device)
    sizes = network.add_time_proj(numbers).reshape(1, -1).to(pooled.dtype)
    return torch.cat([pooled, sizes.expand(len(pooled), -1)], dim=-1)
