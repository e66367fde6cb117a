"""The original networks as modules: built from the original flags, run by their own forward.

A third formulation, beside diffusers' and the converters' own. Names of parameters are those of
pesser's and ermongroup's DDPM, and of guided-diffusion and improved-diffusion.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Swish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


def randomised(net: nn.Module, seed: int) -> nn.Module:
    """Every parameter drawn anew, so that none is zero as the original initialisation has it."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in net.named_parameters():
            drawn = torch.randn(value.shape, generator=generator)
            if value.ndim > 1:
                value.copy_(drawn / math.sqrt(math.prod(value.shape[1:])))
            else:
                value.copy_(0.1 * drawn + (1.0 if name.endswith("weight") else 0.0))
    return net.eval()


class DdpmBlock(nn.Module):
    def __init__(self, inside: int, outside: int, emb: int, dropout: float):
        super().__init__()
        self.norm1 = nn.GroupNorm(32, inside, eps=1e-6)
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1)
        self.temb_proj = nn.Linear(emb, outside)
        self.norm2 = nn.GroupNorm(32, outside, eps=1e-6)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1)
        if inside != outside:
            self.nin_shortcut = nn.Conv2d(inside, outside, 1)

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        act = Swish()
        h = self.conv1(act(self.norm1(x)))
        h = h + self.temb_proj(act(temb))[:, :, None, None]
        h = self.conv2(self.dropout(act(self.norm2(h))))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class DdpmAttention(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(32, channels, eps=1e-6)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        b, c, height, width = x.shape
        h = self.norm(x)
        q = self.q(h).reshape(b, c, -1).transpose(1, 2)
        k, v = self.k(h).reshape(b, c, -1), self.v(h).reshape(b, c, -1)
        weights = torch.softmax(torch.bmm(q, k) * c ** (-0.5), dim=2)
        h = torch.bmm(v, weights.transpose(1, 2)).reshape(b, c, height, width)
        return x + self.proj_out(h)


class Resampled(nn.Module):
    """`upsample` and `downsample` of a DDPM level."""

    def __init__(self, channels: int, down: bool, conv: bool):
        super().__init__()
        self.down = down
        stride, padding = (2, 0) if down else (1, 1)
        if conv:
            self.conv = nn.Conv2d(channels, channels, 3, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        if not self.down:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            return self.conv(x) if hasattr(self, "conv") else x
        if not hasattr(self, "conv"):
            return functional.avg_pool2d(x, kernel_size=2, stride=2)
        return self.conv(functional.pad(x, (0, 1, 0, 1)))


class DdpmModel(nn.Module):
    """The network of Ho et al. 2020 by the flags of its yml files."""

    def __init__(
        self,
        ch: int,
        ch_mult: Sequence[int],
        num_res_blocks: int,
        attn_resolutions: Sequence[int],
        resolution: int,
        in_channels: int = 3,
        out_ch: int = 3,
        dropout: float = 0.0,
        resamp_with_conv: bool = True,
    ):
        super().__init__()
        self.ch, self.levels, self.blocks = ch, len(ch_mult), num_res_blocks
        emb = ch * 4
        self.temb = nn.Module()
        self.temb.dense = nn.ModuleList([nn.Linear(ch, emb), nn.Linear(emb, emb)])
        self.conv_in = nn.Conv2d(in_channels, ch, 3, padding=1)
        sizes = [resolution // 2**i for i in range(self.levels)]
        before, self.down = (1, *ch_mult), nn.ModuleList()
        for i, size in enumerate(sizes):
            inside, outside, level = ch * before[i], ch * ch_mult[i], nn.Module()
            level.block, level.attn = nn.ModuleList(), nn.ModuleList()
            for _ in range(num_res_blocks):
                level.block.append(DdpmBlock(inside, outside, emb, dropout))
                inside = outside
                if size in attn_resolutions:
                    level.attn.append(DdpmAttention(inside))
            if i != self.levels - 1:
                level.downsample = Resampled(inside, True, resamp_with_conv)
            self.down.append(level)
        self.mid = nn.Module()
        self.mid.block_1 = DdpmBlock(inside, inside, emb, dropout)
        self.mid.attn_1 = DdpmAttention(inside)
        self.mid.block_2 = DdpmBlock(inside, inside, emb, dropout)
        ups: list[nn.Module] = []
        for i in reversed(range(self.levels)):
            outside, level = ch * ch_mult[i], nn.Module()
            level.block, level.attn = nn.ModuleList(), nn.ModuleList()
            for j in range(num_res_blocks + 1):
                skip = ch * before[i] if j == num_res_blocks else outside
                level.block.append(DdpmBlock(inside + skip, outside, emb, dropout))
                inside = outside
                if sizes[i] in attn_resolutions:
                    level.attn.append(DdpmAttention(inside))
            if i:
                level.upsample = Resampled(inside, False, resamp_with_conv)
            ups.insert(0, level)
        self.up = nn.ModuleList(ups)
        self.norm_out = nn.GroupNorm(32, inside, eps=1e-6)
        self.conv_out = nn.Conv2d(inside, out_ch, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """(output of the mid block, output)."""
        half = self.ch // 2
        rates = torch.exp(torch.arange(half, dtype=torch.float32) * -(math.log(10000) / (half - 1)))
        angles = t.float()[:, None] * rates[None, :]
        temb = torch.cat([angles.sin(), angles.cos()], dim=1)
        temb = self.temb.dense[1](Swish()(self.temb.dense[0](temb)))
        hs = [self.conv_in(x)]
        for i, level in enumerate(self.down):
            for j, block in enumerate(level.block):
                h = block(hs[-1], temb)
                hs.append(level.attn[j](h) if len(level.attn) else h)
            if i != self.levels - 1:
                hs.append(level.downsample(hs[-1]))
        h = self.mid.block_2(self.mid.attn_1(self.mid.block_1(hs[-1], temb)), temb)
        middle = h
        for i in reversed(range(self.levels)):
            for j, block in enumerate(self.up[i].block):
                h = block(torch.cat([h, hs.pop()], dim=1), temb)
                h = self.up[i].attn[j](h) if len(self.up[i].attn) else h
            if i:
                h = self.up[i].upsample(h)
        return middle, self.conv_out(Swish()(self.norm_out(h)))


class AdmResBlock(nn.Module):
    def __init__(
        self,
        channels: int,
        emb: int,
        dropout: float,
        outside: int,
        film: bool,
        resize: str = "",
    ):
        super().__init__()
        self.film, self.resize = film, resize
        self.in_layers = nn.Sequential(
            nn.GroupNorm(32, channels), nn.SiLU(), nn.Conv2d(channels, outside, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb, outside * (2 if film else 1)))
        last = nn.Conv2d(outside, outside, 3, padding=1)
        norm = nn.GroupNorm(32, outside)
        self.out_layers = nn.Sequential(norm, nn.SiLU(), nn.Dropout(dropout), last)
        same = channels == outside
        self.skip_connection = nn.Identity() if same else nn.Conv2d(channels, outside, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.in_layers[:-1](x)
        if self.resize == "down":
            h, x = functional.avg_pool2d(h, 2, 2), functional.avg_pool2d(x, 2, 2)
        elif self.resize == "up":
            h, x = (functional.interpolate(v, scale_factor=2, mode="nearest") for v in (h, x))
        h = self.in_layers[-1](h)
        given = self.emb_layers(emb)[..., None, None]
        if self.film:
            scale, shift = torch.chunk(given, 2, dim=1)
            h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        else:
            h = self.out_layers(h + given)
        return self.skip_connection(x) + h


class AdmAttention(nn.Module):
    def __init__(self, channels: int, heads: int, head_channels: int, new_order: bool):
        super().__init__()
        self.heads = heads if head_channels == -1 else channels // head_channels
        self.new_order = new_order
        self.norm = nn.GroupNorm(32, channels)
        self.qkv = nn.Conv1d(channels, channels * 3, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, *spatial = x.shape
        flat = x.reshape(b, c, -1)
        qkv, n, width = self.qkv(self.norm(flat)), self.heads, c // self.heads
        if self.new_order:
            parts = [p.reshape(b * n, width, -1) for p in qkv.chunk(3, dim=1)]
        else:
            parts = list(qkv.reshape(b * n, width * 3, -1).split(width, dim=1))
        q, k, v = parts
        scale = 1 / math.sqrt(math.sqrt(width))
        weights = torch.softmax(torch.bmm((q * scale).transpose(1, 2), k * scale), dim=-1)
        mixed = torch.bmm(v, weights.transpose(1, 2)).reshape(b, c, -1)
        return (flat + self.proj_out(mixed)).reshape(b, c, *spatial)


class AdmDown(nn.Module):
    def __init__(self, channels: int, conv: bool):
        super().__init__()
        pooled = nn.AvgPool2d(2, 2)
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1) if conv else pooled

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class AdmUp(nn.Module):
    def __init__(self, channels: int, conv: bool):
        super().__init__()
        if conv:
            self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
        return self.conv(x) if hasattr(self, "conv") else x


class AdmModel(nn.Module):
    """The network of Dhariwal and Nichol 2021 by the flags of its scripts."""

    def __init__(
        self,
        image_size: int,
        num_channels: int,
        num_res_blocks: int,
        channel_mult: Sequence[int],
        attention_resolutions: Sequence[int],
        in_channels: int = 3,
        out_channels: int = 6,
        num_heads: int = 1,
        num_head_channels: int = -1,
        num_heads_upsample: int = -1,
        use_scale_shift_norm: bool = True,
        resblock_updown: bool = True,
        use_new_attention_order: bool = False,
        dropout: float = 0.0,
        conv_resample: bool = True,
        classes: int = 0,
        time_scale: float = 1.0,
    ):
        super().__init__()
        self.channels, self.time_scale = num_channels, time_scale
        factors = {image_size // size for size in attention_resolutions}
        emb = num_channels * 4
        self.time_embed = nn.Sequential(
            nn.Linear(num_channels, emb), nn.SiLU(), nn.Linear(emb, emb)
        )
        if classes:
            self.label_emb = nn.Embedding(classes, emb)

        def resnet(inside: int, outside: int, resize: str = "") -> AdmResBlock:
            return AdmResBlock(inside, emb, dropout, outside, use_scale_shift_norm, resize)

        def attention(channels: int, up: bool) -> AdmAttention:
            heads = num_heads_upsample if up and num_heads_upsample != -1 else num_heads
            return AdmAttention(channels, heads, num_head_channels, use_new_attention_order)

        ch, ds = int(channel_mult[0] * num_channels), 1
        first = nn.ModuleList([nn.Conv2d(in_channels, ch, 3, padding=1)])
        self.input_blocks, kept = nn.ModuleList([first]), [ch]
        for level, mult in enumerate(channel_mult):
            for _ in range(num_res_blocks):
                layers: list[nn.Module] = [resnet(ch, int(mult * num_channels))]
                ch = int(mult * num_channels)
                if ds in factors:
                    layers.append(attention(ch, up=False))
                self.input_blocks.append(nn.ModuleList(layers))
                kept.append(ch)
            if level != len(channel_mult) - 1:
                down = resnet(ch, ch, "down") if resblock_updown else AdmDown(ch, conv_resample)
                self.input_blocks.append(nn.ModuleList([down]))
                kept.append(ch)
                ds *= 2
        self.middle_block = nn.ModuleList([resnet(ch, ch), attention(ch, up=False), resnet(ch, ch)])
        self.output_blocks = nn.ModuleList()
        for level, mult in list(enumerate(channel_mult))[::-1]:
            for i in range(num_res_blocks + 1):
                layers = [resnet(ch + kept.pop(), int(num_channels * mult))]
                ch = int(num_channels * mult)
                if ds in factors:
                    layers.append(attention(ch, up=True))
                if level and i == num_res_blocks:
                    up = resnet(ch, ch, "up") if resblock_updown else AdmUp(ch, conv_resample)
                    layers.append(up)
                    ds //= 2
                self.output_blocks.append(nn.ModuleList(layers))
        self.out = nn.Sequential(
            nn.GroupNorm(32, ch), nn.SiLU(), nn.Conv2d(ch, out_channels, 3, padding=1)
        )

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(output of the mid block, output)."""
        half = self.channels // 2
        rates = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
        angles = (t.float() * self.time_scale)[:, None] * rates[None]
        emb = self.time_embed(torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1))
        if y is not None:
            emb = emb + self.label_emb(y)
        h, hs = x, []
        for block in self.input_blocks:
            h = self._run(block, h, emb)
            hs.append(h)
        middle = h = self._run(self.middle_block, h, emb)
        for block in self.output_blocks:
            h = self._run(block, torch.cat([h, hs.pop()], dim=1), emb)
        return middle, self.out(h)

    def _run(self, layers: nn.Module, h: Tensor, emb: Tensor) -> Tensor:
        for layer in layers:  # type: ignore[attr-defined]
            h = layer(h, emb) if isinstance(layer, AdmResBlock) else layer(h)
        return h
