"""LPIPS version 0.1: the perceptual distance of the paper (Zhang et al., CVPR 2018)."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.method.protocols import Thresholds
from asyrp.runtime.offline import is_offline
from asyrp.storage.finite import check_finite
from asyrp.storage.shipped import shipped
from asyrp.storage.untrusted.tensors import load_safetensors, read_checkpoint, tensor_dicts

Net = Literal["alex", "vgg"]

MEAN, STD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of ImageNet, for [-1, 1]
_CDN = "https://download.pytorch.org/models/"
_SHA256: Mapping[Net, str] = {  # of the files there; they begin as the files are named
    "alex": "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    "vgg": "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
}


class _Trunk(NamedTuple):
    """A backbone of torchvision: what is compared after, and where its weights are.

    taps: indices in `features` of the ReLUs whose outputs are compared. smallest: side in pixels.
    """

    make: Callable[[], nn.Sequential]
    taps: tuple[int, ...]
    channels: tuple[int, ...]
    smallest: int
    weights: str


def _alexnet() -> nn.Sequential:
    def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
        padding = 2 if kernel > 3 else 1
        return [nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.ReLU()]

    pool = nn.MaxPool2d(3, 2)
    layers = [*conv(3, 64, 11, 4), pool, *conv(64, 192, 5), pool, *conv(192, 384, 3)]
    return nn.Sequential(*layers, *conv(384, 256, 3), *conv(256, 256, 3))


def _vgg16() -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = 3
    for outputs, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers += [nn.MaxPool2d(2)] if layers else []
        for _ in range(count):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            inputs = outputs
    return nn.Sequential(*layers)


_TRUNKS: dict[Net, _Trunk] = {
    "alex": _Trunk(
        _alexnet, (1, 4, 7, 9, 11), (64, 192, 384, 256, 256), 31, "alexnet-owt-7be5be79.pth"
    ),
    "vgg": _Trunk(_vgg16, (3, 8, 15, 22, 29), (64, 128, 256, 512, 512), 16, "vgg16-397923af.pth"),
}
_KERNELS: dict[tuple[int, ...], Net] = {(64, 3, 11, 11): "alex", (64, 3, 3, 3): "vgg"}


class LPIPS(nn.Module):
    """Weighed squared differences of unit-norm features, averaged over places, summed over layers.

    Range: 0 for equal images, no unit; at most 2 x the sum over layers of the largest weight, 8.05
    (AlexNet) and 6.62 (VGG) for version 0.1; an image and pure noise reach 1.3 to 1.5 (the released
    tables, AlexNet). The thresholds are the paper's, made for AlexNet.
    """

    def __init__(self, net: Net = "alex") -> None:
        super().__init__()
        self.net, self.name, self.thresholds = net, f"lpips-{net}", Thresholds()
        self.trunk = _TRUNKS[net]
        self.features = self.trunk.make()
        self.heads = nn.ParameterList(nn.Parameter(torch.ones(c)) for c in self.trunk.channels)
        for name, values in (("mean", MEAN), ("std", STD)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two batches (b, 3, height, width) in [-1, 1] -> (b,), differentiable, in float32.

        Raises:
            AsyrpError: shapes that differ, or sides below 31 (AlexNet) or 16 (VGG) pixels.
        """
        check_pictures(a, b, self.trunk.smallest, self.name)
        pairs = zip(self.heads, self.maps(a), self.maps(b), strict=True)
        return cast(Tensor, sum(difference(head, f, g) for head, f, g in pairs))

    def maps(self, images: Tensor) -> list[Tensor]:
        """(b, 3, height, width) in [-1, 1] -> five maps (b, c, h, w), unit norm over c."""
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        h, found = (images.to(mean) - mean) / std, []
        for index, layer in enumerate(self.features):
            h = layer(h)
            if index in self.trunk.taps:
                # 1e-20: finite gradient at h = 0
                found.append(h / ((h.square().sum(1, keepdim=True) + 1e-20).sqrt() + 1e-10))
        return found


def difference(head: Tensor, f: Tensor, g: Tensor) -> Tensor:
    """Of two maps (b, c, h, w): squares weighed by channel (c,), averaged over places, (b,)."""
    return torch.einsum("bchw,c->bhw", (f - g).square(), head).mean((1, 2))


def check_pictures(a: Tensor, b: Tensor, smallest: int, name: str) -> None:
    """Refuse batches of two shapes, or with sides below the smallest (AsyrpError)."""
    if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3:
        raise AsyrpError(
            f"a distance needs two batches (b, 3, height, width) of one shape; "
            f"got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    if min(a.shape[-2:]) < smallest:
        raise AsyrpError(
            f"{name} needs images of at least {smallest} x {smallest} pixels; "
            f"got {a.shape[-2]} x {a.shape[-1]}; use larger images"
        )


def load_lpips(
    net: Net = "alex", path: Path | None = None, device: str | torch.device = "cpu"
) -> LPIPS:
    """LPIPS 0.1, frozen, in float32.

    Args:
        path: a .safetensors or .pth file with the backbone under torchvision's names or with the
            whole state of the `lpips` package; the linear weights that it lacks are the shipped
            ones (data/lpips_lin.md). The backbone's own shapes say which net it is. Without a
            path, torchvision's weights from torch's cache or the usual download.

    Raises:
        AsyrpError: the weights cannot be had, or are of another network.
    """
    source = path or _downloaded(net)
    top = next((own for place, own in tensor_dicts(read_checkpoint(source)) if not place), {})
    tensors = renamed(top)
    kernel = tensors.get("features.0.weight", torch.empty(0)).shape
    found = _KERNELS.get(tuple(kernel))
    if found is None:
        raise AsyrpError(
            f"needed the weights of AlexNet or VGG16 under torchvision's names; {str(source)!r} "
            f"has {', '.join(sorted(tensors)[:3]) or 'none of them'}"
        )
    network, prefix = LPIPS(found), f"{found}."
    heads = load_safetensors(shipped("asyrp.scorers", "data", "lpips_lin.safetensors"))
    own = renamed({k.removeprefix(prefix): v for k, v in heads.items() if k.startswith(prefix)})
    try:
        network.load_state_dict({**own, **tensors})
        check_finite(network.state_dict(), repr(str(source)))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise AsyrpError(f"{str(source)!r} does not fit {network.name}: {reason}") from error
    return network.float().to(device).eval().requires_grad_(False)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of torchvision (features.N) or `lpips` (net.sliceK.N, linK.model.1) -> our own."""
    found = {}
    for key, value in state.items():
        if match := re.fullmatch(r"(?:features|net\.slice\d)\.(\d+)\.(weight|bias)", key):
            found[f"features.{match[1]}.{match[2]}"] = value
        elif match := re.fullmatch(r"lin(?:s\.)?(\d)\.model\.1\.weight|heads\.(\d)", key):
            found[f"heads.{match[1] or match[2]}"] = value.flatten()
    return found


def _downloaded(net: Net) -> Path:
    """Torchvision's file in torch's cache, fetched and compared with its SHA-256 on first use."""
    name = _TRUNKS[net].weights
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if path.is_file():
        return path
    by_hand = f"download {_CDN}{name} and put it at {str(path)!r}, or give the file itself"
    if is_offline():
        raise AsyrpError(f"needed the weights of lpips-{net}, and this is offline; {by_hand}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(_CDN + name, str(path), _SHA256[net], progress=False)
    except (OSError, RuntimeError) as error:
        raise AsyrpError(
            f"needed the weights of lpips-{net}; they do not download ({error}); {by_hand}"
        ) from error
    return path
