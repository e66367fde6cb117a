"""LPIPS: the arithmetic of the `lpips` package, on backbones with random weights."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.method.protocols import PerceptualDistance, Thresholds
from asyrp.scorers.lpips import LPIPS, Net, load_lpips
from conftest import noise

NETS: tuple[Net, ...] = ("alex", "vgg")
# Of `backbone(net)` and the images of seeds 0 and 1, 64 x 48, by the package lpips 0.1.4.
PACKAGE = {"alex": 0.0860975831747055, "vgg": 0.13435198366641998}
CONVS = {
    "alex": {
        0: (3, 64, 11),
        3: (64, 192, 5),
        6: (192, 384, 3),
        8: (384, 256, 3),
        10: (256, 256, 3),
    },
    "vgg": {
        i: (inputs, outputs, 3)
        for i, inputs, outputs in zip(
            (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
            (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512),
            (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512),
            strict=True,
        )
    },
}


def backbone(net: Net) -> dict[str, Tensor]:
    """Random weights under torchvision's names, scaled to keep the size of what passes."""
    state = {}
    for i, (inputs, outputs, kernel) in CONVS[net].items():
        scale = (2 / (inputs * kernel**2)) ** 0.5
        state[f"features.{i}.weight"] = noise(outputs, inputs, kernel, kernel, seed=i) * scale
        state[f"features.{i}.bias"] = noise(outputs, seed=100 + i) * 0.1
    return state | {"classifier.1.weight": torch.zeros(2, 2)}


@pytest.fixture(scope="module", params=NETS)
def distance(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LPIPS:
    path = tmp_path_factory.mktemp("lpips") / "backbone.pth"
    torch.save(backbone(request.param), path)
    return load_lpips(path=path)


def image(seed: int, height: int = 64, width: int = 48) -> Tensor:
    return noise(1, 3, height, width, seed=seed).mul(0.5).clamp(-1, 1)


# --- an independent restatement, in numpy ---


def convolved(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    padding = 2 if weight.shape[-1] > 3 else 1
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(1, 2))
    windows = windows[:, ::stride, ::stride]
    return np.tensordot(weight, windows, ([1, 2, 3], [0, 3, 4])) + bias[:, None, None]


def pooled(x: np.ndarray, size: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    return windows[:, ::2, ::2].max((-1, -2))


def numpy_maps(net: Net, state: dict[str, Tensor], x: np.ndarray) -> list[np.ndarray]:
    """Outputs after the ReLUs that LPIPS compares, of one image (3, height, width)."""
    last = {"alex": (0, 3, 6, 8, 10), "vgg": (2, 7, 14, 21, 28)}[net]
    pools = {"alex": (3, 6), "vgg": (5, 10, 17, 24)}[net]
    found = []
    for i in CONVS[net]:
        x = pooled(x, 3 if net == "alex" else 2) if i in pools else x
        weight, bias = (
            state[f"features.{i}.{kind}"].double().numpy() for kind in ("weight", "bias")
        )
        x = np.maximum(convolved(x, weight, bias, 4 if (net, i) == ("alex", 0) else 1), 0)
        found += [x] if i in last else []
    return found


def numpy_distance(net: Net, heads: list[np.ndarray], a: Tensor, b: Tensor) -> float:
    shift = np.array([-0.030, -0.088, -0.188])[:, None, None]
    scale = np.array([0.458, 0.448, 0.450])[:, None, None]
    state = backbone(net)
    maps = [numpy_maps(net, state, (x[0].double().numpy() - shift) / scale) for x in (a, b)]
    total = 0.0
    for head, f, g in zip(heads, *maps, strict=True):
        f, g = (m / (np.sqrt((m**2).sum(0)) + 1e-10) for m in (f, g))
        total += float((head[:, None, None] * (f - g) ** 2).sum(0).mean())
    return total


def test_equals_an_independent_restatement(distance: LPIPS) -> None:
    a, b = image(0, 40, 33), image(1, 40, 33)
    heads = [head.double().numpy() for head in distance.heads]
    wanted = numpy_distance(distance.net, heads, a, b)
    assert distance(a, b).item() == pytest.approx(wanted, rel=1e-5)


# --- the package itself ---


def stand_in(state: dict[str, Tensor], net: Net) -> Callable[..., nn.Module]:
    """What torchvision.models.alexnet or .vgg16 would return, with other weights."""

    def build(pretrained: bool = False) -> nn.Module:
        layers = {}
        for i, (inputs, outputs, kernel) in CONVS[net].items():
            first = net == "alex" and i == 0
            layers[i] = nn.Conv2d(
                inputs, outputs, kernel, 4 if first else 1, 2 if kernel > 3 else 1
            )
            layers[i + 1] = nn.ReLU()
        count = max(layers) + 1
        pool = nn.MaxPool2d(3, 2) if net == "alex" else nn.MaxPool2d(2, 2)
        model = nn.Module()
        model.features = nn.Sequential(*(layers.get(i, pool) for i in range(count)))
        model.load_state_dict({k: v for k, v in state.items() if k.startswith("features")})
        return model

    return build


def package(net: Net, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    models = ModuleType("torchvision.models")
    models.alexnet = stand_in(backbone(net), net)  # type: ignore[attr-defined]
    models.vgg16 = stand_in(backbone(net), net)  # type: ignore[attr-defined]
    torchvision = ModuleType("torchvision")
    torchvision.models = models  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    for name in [name for name in sys.modules if name.partition(".")[0] == "lpips"]:
        monkeypatch.delitem(sys.modules, name)
    import lpips

    return lpips.LPIPS(net=net, verbose=False)


@torch.no_grad()
def test_equals_the_lpips_package(distance: LPIPS, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lpips` 0.1.4 imports torchvision and so cannot be imported without it.

    Its own arithmetic and its own linear weights run here (pip install --no-deps lpips) on a
    stand-in for torchvision's backbone; the numbers that it gave are kept in PACKAGE, so that the
    comparison holds where the package is not installed.
    """
    if importlib.util.find_spec("lpips") is not None:
        theirs = package(distance.net, monkeypatch)(image(0), image(1)).item()
        assert theirs == pytest.approx(PACKAGE[distance.net], rel=1e-5)
    assert distance(image(0), image(1)).item() == pytest.approx(PACKAGE[distance.net], rel=1e-5)


@pytest.mark.parametrize("net", NETS)
@torch.no_grad()
def test_reads_the_whole_state_of_the_package_and_a_merged_file(
    net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slices = {"alex": (2, 5, 8, 10, 12), "vgg": (4, 9, 16, 23, 30)}[net]
    heads = [torch.rand(1, c, 1, 1) for c in LPIPS(net).trunk.channels]
    merged = {f"lin{i}.model.1.weight": head for i, head in enumerate(heads)}
    own = {f"lins.{i}.model.1.weight": head for i, head in enumerate(heads)}
    own |= {"scaling_layer.shift": torch.zeros(1, 3, 1, 1)}
    for key, value in backbone(net).items():
        if not key.startswith("features"):
            continue
        merged[key] = value
        _, i, kind = key.split(".")
        place = next(k + 1 for k, end in enumerate(slices) if int(i) < end)
        own[f"net.slice{place}.{i}.{kind}"] = value
    save_file(merged, tmp_path / "merged.safetensors")
    torch.save(own, tmp_path / "own.pth")
    first, second = (load_lpips(path=tmp_path / n) for n in ("merged.safetensors", "own.pth"))
    assert first.net == second.net == net
    for i, head in enumerate(heads):
        assert torch.equal(first.heads[i], head.flatten())
    assert torch.equal(first(image(0), image(1)), second(image(0), image(1)))


@torch.no_grad()
def test_is_a_perceptual_distance_with_the_thresholds_of_the_paper(distance: LPIPS) -> None:
    measured: PerceptualDistance = distance
    assert measured.name == f"lpips-{distance.net}"
    assert measured.thresholds == Thresholds(0.33, 1.2, None)
    a, b = torch.cat([image(0), image(2)]), torch.cat([image(1), image(3)])
    together = distance(a, b)
    alone = torch.cat([distance(a[i : i + 1], b[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=0)
    torch.testing.assert_close(together, distance(b, a))
    assert (distance(a, a) == 0).all()
    assert not distance.training
    assert not any(p.requires_grad for p in distance.parameters())


@torch.no_grad()
def test_stays_below_the_stated_bound(distance: LPIPS) -> None:
    bound = 2 * sum(float(head.max()) for head in distance.heads)
    assert bound == pytest.approx({"alex": 8.05, "vgg": 6.62}[distance.net], abs=0.005)
    assert all((head >= 0).all() for head in distance.heads)
    values = distance(torch.cat([image(0), image(1)]), torch.ones(2, 3, 64, 48))
    assert (values > 0).all()
    assert (values < bound).all()


def test_gradient_is_finite_where_nothing_differs(distance: LPIPS) -> None:
    a = torch.zeros(1, 3, 64, 64, requires_grad=True)
    (distance(a, torch.zeros_like(a)).sum() + distance(a, image(1, 64, 64)).sum()).backward()
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()
    assert a.grad.abs().sum() > 0


def test_refuses_other_shapes_and_small_images(distance: LPIPS) -> None:
    small = distance.trunk.smallest
    assert distance(image(0, small, small), image(1, small, small)).shape == (1,)
    for a, b in (((1, 3, 64, 64), (2, 3, 64, 64)), ((1, 1, 64, 64),) * 2, ((3, 64, 64),) * 2):
        with pytest.raises(AsyrpError, match="got"):
            distance(torch.zeros(a), torch.zeros(b))
    with pytest.raises(AsyrpError, match=f"at least {small} x {small}"):
        distance(torch.zeros(1, 3, 64, small - 1), torch.zeros(1, 3, 64, small - 1))


def test_refuses_what_holds_no_such_weights(tmp_path: Path) -> None:
    save_file({"conv": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "broken.pth").write_bytes(b"no weights")
    torch.save({"f": torch.nn.ReLU()}, tmp_path / "code.pth")  # a pickle that would run code
    cut = backbone("alex")
    del cut["features.3.bias"]
    torch.save(cut, tmp_path / "cut.pth")
    for name, message in {
        "other.safetensors": "AlexNet or VGG16",
        "broken.pth": "neither a safetensors file nor",
        "code.pth": "asks to run",
        "cut.pth": "does not fit lpips-alex: .*features.3.bias",
        "absent.pth": "does not exist",
    }.items():
        with pytest.raises(AsyrpError, match=message) as got:
            load_lpips(path=tmp_path / name)
        assert "\n" not in str(got.value)


def test_the_cache_is_used_and_its_absence_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setenv("ASYRP_OFFLINE", "1")
    with pytest.raises(AsyrpError, match=r"this is offline; download https://.*7be5be79.pth"):
        load_lpips("alex")
    monkeypatch.setenv("ASYRP_OFFLINE", "0")

    def fails(url: str, *rest: object, **more: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fails)
    with pytest.raises(AsyrpError, match=r"do not download \(Name or service not known\)"):
        load_lpips("vgg")
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    torch.save(backbone("vgg"), tmp_path / "checkpoints" / "vgg16-397923af.pth")
    assert load_lpips("vgg").net == "vgg"
