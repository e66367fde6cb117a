"""Equality with the official code on its own small networks, to a relative 1e-4."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

import official
from asyrp.method.asymmetric_process import Attribute, asymmetric, reverse_process
from asyrp.method.clip_loss import directional_loss, log_form, reconstruction_loss
from asyrp.method.ddim import invert_steps, predict_x0, step, step_up
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Pair, pairs, paper_grid
from official import Official

FOLDER = Path(__file__).parents[1] / "data" / "official"
T_EDIT, T_BOOST, STRENGTH = 500, 200, 0.8
GRID = paper_grid(12)


@pytest.fixture(scope="module", params=["ddpm", "adm", "iddpm"])
def net(request: pytest.FixtureRequest) -> Official:
    return official.load(FOLDER, request.param)


@pytest.fixture(autouse=True)
def _no_gradients(request: pytest.FixtureRequest) -> Iterator[None]:
    with torch.set_grad_enabled("training" in request.node.name):
        yield


def assert_same(
    got: Tensor, wanted: Tensor, tolerance: float = 1e-4, worst: float | None = None
) -> None:
    """Relative to the norm, and each entry (to `worst`) relative to the largest."""
    assert got.shape == wanted.shape
    difference = (got - wanted).double()
    assert float(difference.norm() / wanted.double().norm()) <= tolerance
    assert float(difference.abs().max() / wanted.abs().max()) <= (worst or tolerance)


def attribute(net: Official) -> Attribute:
    return Attribute(net.direction, T_EDIT, STRENGTH, trained_steps=len(GRID))


def test_the_grid_is_the_official_one(net: Official) -> None:
    assert [pair.t for pair in reversed(GRID)] == net.expected["timesteps"].tolist()


def test_plain_forward_at_mixed_timesteps(net: Official) -> None:
    encoded = net.model.encode(net.expected["x"], net.expected["t_mixed"])
    assert_same(net.model.decode_raw(encoded), net.expected["eps_mixed_raw"])


def test_bottleneck_direction_and_edited_output(net: Official) -> None:
    encoded = net.model.encode(net.expected["x"], net.expected["t"])
    dh = net.direction(encoded.h, encoded.emb, 640)
    assert_same(encoded.h, net.expected["h"])
    assert_same(dh, net.expected["delta_h"])
    assert_same(net.model.decode_raw(encoded), net.expected["eps_raw"])
    edited = net.model.decode_raw(encoded, encoded.h + STRENGTH * dh)
    assert_same(edited, net.expected["eps_edited_raw"])
    assert_same(net.model.decode(encoded), net.expected["eps_raw"][:, :3])


def test_inversion(net: Official) -> None:
    steps = invert_steps(net.model, net.model.schedule, net.expected["x0_image"], GRID)
    found = torch.stack([done.x for done in steps])
    # Rounding grows along the random ADM network; the next test holds every step to 1e-5.
    assert_same(found, net.expected["inversion_x"], worst=5e-4)


def test_each_inversion_step(net: Official) -> None:
    states = [net.expected["x0_image"], *net.expected["inversion_x"]]
    upward = [(pair.s, pair.t) for pair in reversed(GRID[:-1])]
    for (s, t), x, wanted in zip(upward, states[:-1], states[1:], strict=True):
        assert_same(step_up(x, net.model(x, s), net.model.schedule, s, t), wanted, 1e-5, 2e-5)


def test_plain_reconstruction(net: Official) -> None:
    steps = list(reverse_process(net.model, net.expected["inversion_x"][-1], GRID))
    assert_same(torch.stack([done.x for done in steps]), net.expected["reference_x"])
    assert_same(torch.stack([done.x0 for done in steps]), net.expected["reference_x0"])


def test_edited_walk(net: Official) -> None:
    steps = list(
        reverse_process(net.model, net.expected["inversion_x"][-1], GRID, [attribute(net)])
    )
    assert_same(torch.stack([done.x for done in steps]), net.expected["edited_x"])
    assert_same(torch.stack([done.x0 for done in steps]), net.expected["edited_x0"])


def boosted(net: Official) -> Iterator[tuple[Tensor, Tensor]]:
    """The walk with the noise of the fixture, composed from its parts: (x_s, P_t)."""
    x, drawn = net.expected["inversion_x"][-1], iter(net.expected["boost_noise"])
    for pair in GRID:
        encoded = net.model.encode(x, pair.t)

        def change(h: Tensor, emb: Tensor = encoded.emb, t: int = pair.t) -> Tensor:
            return attribute(net).dh(h, emb, t, len(GRID))

        plain = net.model.decode(encoded)
        both = asymmetric(net.model, encoded, change) if pair.t >= T_EDIT else (plain, plain)
        noise, eta = (next(drawn), 1.0) if pair.t < T_BOOST else (None, 0.0)
        done = step(x, *both, net.model.schedule, pair, noise, eta)
        x = done.x
        yield done.x, done.x0


def test_boosted_walk(net: Official) -> None:
    states, predictions = zip(*boosted(net), strict=True)
    assert_same(torch.stack(states), net.expected["boosted_x"])
    assert_same(torch.stack(predictions), net.expected["boosted_x0"])


def test_boosted_walk_by_walk_itself(net: Official, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(net.expected["boost_noise"])
    monkeypatch.setattr(
        "asyrp.method.asymmetric_process.draw_noise", lambda like, generators: next(drawn)
    )
    x_t = net.expected["inversion_x"][-1]
    steps = list(reverse_process(net.model, x_t, GRID, [attribute(net)], t_boost=T_BOOST))
    assert_same(torch.stack([done.x for done in steps]), net.expected["boosted_x"])
    assert next(drawn, None) is None


class Trained(nn.Module):
    """What six official training steps left behind."""

    def __init__(self, losses: list[list[Tensor]], norms: list[Tensor]):
        super().__init__()
        self.losses = torch.stack([torch.stack(row) for row in losses])
        self.norms = torch.stack(norms)


def train(
    model: HSpaceUNet, f_t: nn.Module, given: dict[str, Tensor], recon_weight: float
) -> Trained:
    """One SGD step a timestep, as the official code does it."""
    grid = pairs(given["timesteps"].flip(0).tolist())
    encoder = given["image_encoder"]

    def features(images: Tensor) -> Tensor:
        return functional.normalize(images.flatten(1) @ encoder.T, dim=1)

    clean, text = features(given["x0_image"]), given["text_direction"][0]
    with torch.no_grad():
        plain = [done.x0 for done in reverse_process(model, given["x_T"], grid)]
    optimiser = torch.optim.SGD(f_t.parameters(), lr=0.5)
    whole = Attribute(f_t, grid[-1].t, trained_steps=len(grid))
    losses, norms = [], []
    for done, source in zip(
        reverse_process(model, given["x_T"], grid, [whole]), plain, strict=True
    ):
        directional = directional_loss(features(done.x0), clean, text)
        recon = reconstruction_loss(done.x0, source)
        total = log_form(directional) + recon_weight * given["text_cosine"] * recon
        optimiser.zero_grad()
        total.backward()
        norms.append(torch.stack([p.grad.norm() for p in f_t.parameters()]).norm())
        optimiser.step()
        losses.append([total.detach(), directional.mean().detach(), recon.detach()])
    return Trained(losses, norms)


@pytest.mark.parametrize(("kind", "weight"), [("training", 3.0), ("training_clip_only", 0.0)])
@pytest.mark.parametrize("name", ["ddpm", "adm"])
def test_six_training_steps(name: str, kind: str, weight: float) -> None:
    net = official.load(FOLDER, name)
    given = load_file(FOLDER / f"{name}.{kind}.safetensors")
    ends = {}
    for end in ("before", "after"):
        block = {k.removeprefix(f"{end}."): v for k, v in given.items() if k.startswith(end)}
        ends[end] = official.direction(block, net.layout)
    f_t = ends["before"]
    start = {key: value.clone() for key, value in f_t.state_dict().items()}
    done = train(net.model, f_t, given, weight)
    assert_same(done.losses, given["losses"])
    assert_same(done.norms, given["grad_norms"])
    for key, wanted in ends["after"].state_dict().items():
        assert_same(f_t.state_dict()[key], wanted)
        assert_same(f_t.state_dict()[key] - start[key], wanted - start[key], 1e-3)


def test_training_leaves_the_network_alone() -> None:
    net = official.load(FOLDER, "ddpm")
    before = net.model.fingerprint()
    given = load_file(FOLDER / "ddpm.training.safetensors")
    train(net.model, net.direction, given, 3.0)
    assert net.model.fingerprint() == before
    assert all(p.grad is None for p in net.model.unet.parameters())


def test_predicted_image_is_what_a_jump_to_the_clean_image_gives(net: Official) -> None:
    x, eps = net.expected["x"], net.expected["eps_raw"][:, :3]
    jump = step(x, eps, eps, net.model.schedule, Pair(640, -1))
    assert torch.equal(jump.x, predict_x0(x, eps, net.model.schedule.alpha_bar(640)))
