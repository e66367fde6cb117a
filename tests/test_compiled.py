"""Compiled networks: the same results, names and fingerprint, or the plain network and a line."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import asyrp.commands.common as common
from asyrp.compiled import Outcome, Region, compile_network, regions_of
from asyrp.method.hspace import HSpaceUNet
from asyrp.options import Network
from asyrp.runtime.fast_blocks import PackedConv2d, use_fast_blocks
from conftest import noise, tiny_model

# Dynamo looks at .grad of every input
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")

R, A = "ResnetDownsampleBlock2D", "AttnDownBlock2D"


class Counted:
    """A backend that runs graphs as they are, and counts them."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        self.graphs += 1
        return graph.forward


def spoilt(graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
    """A backend whose forward is right and whose gradient is 0, as inductor's of an up block."""

    def run(*args: Any) -> Any:
        return tuple(
            out.detach() + 0.0 * out if out.requires_grad else out for out in graph.forward(*args)
        )

    return run


def results(model: HSpaceUNet, count: int) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        encoded = model.encode(noise(count, *model.image_shape), 431)
        plain = model.decode(encoded)
    h = (encoded.h + 0.1).requires_grad_()
    eps = model.decode(encoded, h)
    return plain, eps.detach(), torch.autograd.grad(eps.square().sum(), h)[0]


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch._dynamo.reset()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("dtype", "backend"), [(torch.float32, "aot_eager"), (torch.bfloat16, "eager")]
)
def test_results_agree_for_every_number_of_images(dtype: torch.dtype, backend: str) -> None:
    plain, compiled = tiny_model(dtype=dtype), tiny_model(dtype=dtype)
    assert compile_network(compiled, 4, backend).used
    for count in (1, 17):
        for wanted, found in zip(results(plain, count), results(compiled, count), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_number_of_images_near_another_compiles_nothing_again() -> None:
    model, backend = tiny_model(), Counted()
    compile_network(model, 4, backend)
    before = backend.graphs
    assert before > 0
    for count in (5, 2):
        results(model, count)
    assert backend.graphs == before


def test_no_gradient_no_further_graph() -> None:
    model, backend = tiny_model(), Counted()
    compile_network(model, 4, backend)
    before = backend.graphs
    model.encode(noise(4, *model.image_shape), 10)  # in grad mode, without anything to derive by
    assert backend.graphs == before


def test_names_weights_and_fingerprint_stay_and_copies_are_plain() -> None:
    plain, model = tiny_model(), tiny_model()
    assert compile_network(model, 2, "eager").used
    assert model.fingerprint() == plain.fingerprint()
    assert list(model.state_dict()) == list(plain.state_dict())
    assert not any(weight.requires_grad for weight in model.parameters())
    assert all(region._compiled_call_impl is None for region in regions_of(copy.deepcopy(model)))


def test_weights_that_train_get_their_gradient() -> None:
    model = tiny_model()
    compile_network(model, 2, "eager")
    region = next(regions_of(model)).requires_grad_(True)  # what goes in needs no gradient
    model(noise(2, *model.image_shape), 10).sum().backward()
    assert all(weight.grad is not None for weight in region.parameters())


def test_with_gradient_checkpointing() -> None:
    plain, model = tiny_model(), tiny_model()
    compile_network(model, 2, "eager")
    model.unet.enable_gradient_checkpointing()
    model.unet.train()
    torch.testing.assert_close(results(model, 2), results(plain, 2))


def test_blocks_that_resample_stay_plain() -> None:
    model = tiny_model(
        down_block_types=(R, A),
        up_block_types=("AttnUpBlock2D", "ResnetUpsampleBlock2D"),
        downsample_type="resnet",
        upsample_type="resnet",
        attention_head_dim=8,
    )
    found: list[Any] = list(regions_of(model.unet))
    kinds = {type(region).__name__ for region in found}
    assert kinds == {"ResnetBlock2D", "Attention"}
    assert all(getattr(region, "upsample", None) is None for region in found)
    everything = [m for m in model.unet.modules() if type(m).__name__ in kinds]
    assert len(everything) - len(found) == 2  # one on the way down, one on the way up


def test_every_region_has_a_limit_of_its_own() -> None:
    found = [Region(region, k, "eager") for k, region in enumerate(regions_of(tiny_model().unet))]
    codes = {region._run.__wrapped__.__code__ for region in found}  # type: ignore[attr-defined]
    assert len(codes) == len(found) > 8


def test_a_gradient_that_disagrees_is_told_and_the_plain_network_goes_on() -> None:
    plain, model = tiny_model(), tiny_model()
    used, line = compile_network(model, 2, spoilt)
    assert not used
    assert "plain network goes on: eps differs by 0.0e+00" in line
    assert "its gradient by" in line
    assert "2e-05 is rounding" in line
    for wanted, found in zip(results(plain, 2), results(model, 2), strict=True):
        assert torch.equal(wanted, found)


def test_numbers_that_are_none_disagree() -> None:
    def nan(graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        return lambda *args: tuple(out * float("nan") for out in graph.forward(*args))

    assert not compile_network(tiny_model(), 2, nan).used


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("No working C++ compiler found in cpp.cxx: (None, 'g++')", "needs a C++ compiler"),
        ("first line\nsecond line", "torch.compile failed ("),
    ],
)
def test_what_cannot_be_compiled_is_told_in_a_line(message: str, told: str) -> None:
    def failing(graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        raise RuntimeError(message)

    model = tiny_model()
    used, line = compile_network(model, 2, failing)
    assert not used
    assert told in line
    assert "\n" not in line
    results(model, 2)


def test_class_conditional_networks() -> None:
    assert compile_network(tiny_model(num_class_embeds=10), 2, "eager").used


@pytest.mark.parametrize("asked", [False, True])
def test_the_option(
    asked: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = []

    def noted(model: nn.Module, batch_size: int) -> Outcome:
        sizes.append(batch_size)
        return Outcome(True, "compiled 9 blocks")

    monkeypatch.setattr(common, "compile_network", noted)
    common.network(Network(batch_size=5, compile=asked))
    assert sizes == [2] * asked  # its check needs no more memory than it must
    assert ("compiled 9 blocks" in capsys.readouterr().err) == asked


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the compiler
def test_inductor_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    plain, compiled = tiny_model(), tiny_model()
    used, line = compile_network(compiled, 2)
    assert used, line
    for count in (2, 3):
        for wanted, found in zip(results(plain, count), results(compiled, count), strict=True):
            assert (found - wanted).abs().max() <= 2e-5 * wanted.abs().max()


def test_a_lean_network_is_compiled_from_plain_blocks_and_lean_again_where_that_fails() -> None:
    model = tiny_model()
    use_fast_blocks(model.unet)
    assert not compile_network(model, 2, spoilt).used
    assert any(isinstance(module, PackedConv2d) for module in model.unet.modules())
    assert compile_network(model, 2, "eager").used
    assert not any(isinstance(module, PackedConv2d) for module in model.unet.modules())
