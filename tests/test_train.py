"""Finding a direction: what a step does, what a kill leaves, and what the variants mean."""

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

import official
from asyrp.directions import ImplicitDirection
from asyrp.errors import AsyrpError
from asyrp.guide import Guide
from asyrp.process import walk
from asyrp.schedule import pairs
from asyrp.settings import TrainSettings
from asyrp.settings import official as official_settings
from asyrp.sources import Sources, Window, editing_window, joined, prepare
from asyrp.train import Losses, TrainStep, _batches, _Run, fit, new_direction, rate_at
from asyrp.unet import HSpaceUNet
from conftest import noise, tiny_model
from doubles import tiny_guide

FIXTURES = Path(__file__).parent / "data" / "official"
SETTINGS = TrainSettings(
    steps=8, epochs=2, batch_size=2, learning_rate=0.02, validate_every=2, patience=100
)
WINDOW = editing_window(999, 800, steps=8)  # two timesteps: 999 and 856
State = dict[str, Tensor]


class Job(NamedTuple):
    """Everything that `fit` takes but the checkpoint."""

    model: HSpaceUNet
    guide: Guide
    sources: Sources
    validation: Sources | None
    settings: TrainSettings
    window: Window = WINDOW

    def direction(self) -> nn.Module:
        return new_direction(self.model, self.window.grid, self.settings)

    def steps(self, direction: nn.Module, checkpoint: Path | None = None) -> Any:
        rest = (self.guide, self.sources, self.window.grid, self.settings, self.validation)
        return fit(self.model, direction, *rest, checkpoint)


def sources_of(
    model: HSpaceUNet, count: int, seed: int = 0, window: Window = WINDOW, clean: bool = False
) -> Sources:
    x = noise(count, 3, 16, 16, seed=seed)
    return joined(list(prepare(model, tiny_guide(), x, window, 2, x if clean else None)))


def new_job(model: HSpaceUNet, count: int = 3, **changes: Any) -> Job:
    validation = sources_of(model, 3, seed=90)
    settings = replace(SETTINGS, **changes)
    return Job(model, tiny_guide(), sources_of(model, count), validation, settings)


@pytest.fixture
def job(model: HSpaceUNet) -> Job:
    """Two epochs of two batches at two timesteps: 8 optimiser steps and 2 validations."""
    return new_job(model)


def trained(job: Job, checkpoint: Path | None = None) -> State:
    direction = job.direction()
    list(job.steps(direction, checkpoint))
    return copied(direction)


def copied(module: nn.Module) -> State:
    return {key: value.clone() for key, value in module.state_dict().items()}


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def scrambled(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for p in module.parameters():
            p.fill_(7.0)
    return module


# kills


@pytest.mark.parametrize("after", range(1, 11))
def test_a_run_killed_anywhere_ends_as_the_unbroken_one(
    job: Job, tmp_path: Path, after: int
) -> None:
    checkpoint = tmp_path / "state.safetensors"
    killed = job.steps(job.direction(), checkpoint)
    list(itertools.islice(killed, after))
    killed.close()
    batch_done = after > 2  # the first batch's file is written when its last step is taken up
    assert checkpoint.exists() == batch_done
    fresh = job.direction()
    list(job.steps(scrambled(fresh) if batch_done else fresh, checkpoint))
    assert same(copied(fresh), trained(job))
    assert not same(copied(fresh), copied(job.direction()))


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "timestep"},
        {"kind": "global", "optimiser": "sgd", "learning_rate": 5.0},
        {"layout": "adm", "zero_init": False, "decay": False},
        {"validate_every": 0},
        {"optimiser": "sgd", "learning_rate": 0.5, "zero_init": False, "batch_size": 1},
    ],
)
def test_every_kind_survives_a_chain_of_kills(
    model: HSpaceUNet, tmp_path: Path, changes: dict[str, Any]
) -> None:
    job, checkpoint = new_job(model, **changes), tmp_path / "state.safetensors"
    for _ in range(3):
        killed = job.steps(job.direction(), checkpoint)
        list(itertools.islice(killed, 4))
        killed.close()
    assert same(trained(job, checkpoint), trained(job))


def test_what_an_earlier_checkpoint_repeats_is_the_same(job: Job, tmp_path: Path) -> None:
    """A machine may lose the newest file and keep an older one."""
    checkpoint = tmp_path / "state.safetensors"
    whole, kept = list(job.steps(job.direction(), checkpoint)), b""
    checkpoint.unlink()
    running = job.steps(job.direction(), checkpoint)
    for index in range(8):
        next(running)
        kept = checkpoint.read_bytes() if index == 2 else kept
    checkpoint.write_bytes(kept)
    again = list(job.steps(scrambled(job.direction()), checkpoint))
    assert again == whole[2:]


def test_a_finished_run_does_nothing_more(job: Job, tmp_path: Path) -> None:
    checkpoint, first = tmp_path / "state.safetensors", job.direction()
    list(job.steps(first, checkpoint))
    again = scrambled(job.direction())
    assert list(job.steps(again, checkpoint)) == []
    assert same(copied(again), copied(first))


def test_a_kill_while_the_state_is_written_leaves_the_one_before(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "state.safetensors"
    running = job.steps(job.direction(), checkpoint)
    list(itertools.islice(running, 3))
    before = checkpoint.read_bytes()

    def cut_short(tensors: Any, path: Path, header: Any) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("asyrp.files.save_file", cut_short)
    with pytest.raises(KeyboardInterrupt):
        list(running)
    assert checkpoint.read_bytes() == before
    assert list(tmp_path.iterdir()) == [checkpoint]
    monkeypatch.undo()
    assert same(trained(job, checkpoint), trained(job))


# another run's checkpoint


def others(job: Job) -> dict[str, Job]:
    model, grid = job.model, editing_window(999, 600, steps=8)
    wider = sources_of(model, 3, window=grid)
    return {
        "settings": job._replace(settings=replace(job.settings, learning_rate=0.01)),
        "seed": job._replace(settings=replace(job.settings, seed=1)),
        "texts": job._replace(guide=tiny_guide("sad face")),
        "interval": job._replace(window=grid, sources=wider, validation=None),
        "images": job._replace(sources=sources_of(model, 3, seed=1)),
        "more images": job._replace(sources=sources_of(model, 4)),
        "held-out images": job._replace(validation=sources_of(model, 3, seed=91)),
        "no held-out images": job._replace(validation=None),
        "network": job._replace(model=HSpaceUNet(model.unet, model.schedule, "v_prediction")),
        "layout": job._replace(settings=replace(job.settings, layout="adm")),
        "kind": job._replace(settings=replace(job.settings, kind="global")),
    }


NAMES = ["settings", "seed", "texts", "interval", "images", "more images", "held-out images"]
NAMES += ["no held-out images", "network", "layout", "kind"]


@pytest.mark.parametrize("name", NAMES)
def test_the_checkpoint_of_another_run_is_refused(job: Job, tmp_path: Path, name: str) -> None:
    checkpoint = tmp_path / "state.safetensors"
    list(itertools.islice(job.steps(job.direction(), checkpoint), 3))
    before = checkpoint.read_bytes()
    other = others(job)[name]
    with pytest.raises(AsyrpError, match="delete it to start anew"):
        next(other.steps(other.direction(), checkpoint))
    assert checkpoint.read_bytes() == before


def test_a_checkpoint_forgives_the_rounding_of_another_machine(job: Job, tmp_path: Path) -> None:
    checkpoint = tmp_path / "state.safetensors"
    list(itertools.islice(job.steps(job.direction(), checkpoint), 3))
    near = job._replace(sources=job.sources._replace(x0=job.sources.x0 * (1 + 1e-6)))
    assert next(near.steps(near.direction(), checkpoint)).batch == 1


@pytest.mark.parametrize("content", [b"", b"no safetensors at all, but long enough"])
def test_a_broken_checkpoint_is_refused(job: Job, tmp_path: Path, content: bytes) -> None:
    checkpoint = tmp_path / "state.safetensors"
    checkpoint.write_bytes(content)
    with pytest.raises(AsyrpError, match="not a checkpoint of this run .*; delete it"):
        next(job.steps(job.direction(), checkpoint))


# validation


def scripted(monkeypatch: pytest.MonkeyPatch, totals: list[float]) -> None:
    """Validations that come out as written."""
    script = iter(totals)

    def validate(self: _Run, sources: Sources) -> Losses:
        return Losses(*torch.tensor([next(script), 1.0, 0.0]))

    monkeypatch.setattr(_Run, "validate", validate)


def validations(job: Job, direction: nn.Module) -> list[tuple[TrainStep, State]]:
    steps = job.steps(direction)
    return [(step, copied(direction)) for step in steps if step.t is None]


def test_validation_keeps_the_best_state(
    model: HSpaceUNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [3.0, 1.0, 2.0, 1.5])
    job = new_job(model, validate_every=1)
    direction = job.direction()
    seen = validations(job, direction)
    assert [step.best for step, _ in seen] == [True, True, False, False]
    assert [step.batch for step, _ in seen] == [0, 1, 2, 3]
    assert same(copied(direction), seen[1][1])
    assert not same(copied(direction), seen[3][1])


def test_an_equal_validation_is_no_better(
    model: HSpaceUNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, [1.0, 1.0, math.nan, 1.0])
    job = new_job(model, validate_every=1)
    assert [s.best for s, _ in validations(job, job.direction())] == [True, False, False, False]


@pytest.mark.parametrize(("patience", "count"), [(1, 3), (2, 6), (3, 7)])
def test_training_stops_when_patience_ends(
    model: HSpaceUNet, monkeypatch: pytest.MonkeyPatch, patience: int, count: int
) -> None:
    scripted(monkeypatch, [5.0, 4.0, 4.5, 3.0, 3.5, 3.6, 3.7, 3.8])
    job = new_job(model, validate_every=1, patience=patience, epochs=4)
    direction = job.direction()
    steps = list(job.steps(direction))
    assert sum(step.t is None for step in steps) == count
    assert steps[-1].t is None
    assert {step.batches for step in steps} == {8}


def test_a_run_out_of_patience_stays_stopped(
    model: HSpaceUNet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scripted(monkeypatch, [1.0, 2.0])
    job = new_job(model, validate_every=1, patience=1)
    first, again = job.direction(), job.direction()
    list(job.steps(first, tmp_path / "state"))
    assert list(job.steps(scrambled(again), tmp_path / "state")) == []
    assert same(copied(again), copied(first))


@pytest.mark.parametrize(("every", "due"), [(0, []), (1, [0, 1, 2, 3]), (2, [1, 3]), (3, [2, 3])])
def test_validations_come_every_so_many_batches_and_at_the_end(
    model: HSpaceUNet, every: int, due: list[int]
) -> None:
    job = new_job(model, validate_every=every)
    assert [s.batch for s, _ in validations(job, job.direction())] == due


def test_without_validation_the_last_state_is_kept(job: Job) -> None:
    job = job._replace(validation=None)
    direction = job.direction()
    for step in job.steps(direction):
        assert step.t is not None
        last = copied(direction)
    assert same(copied(direction), last)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_validation_does_not_depend_on_the_batch_size(model: HSpaceUNet, size: int) -> None:
    job = new_job(model, batch_size=size, zero_init=False)
    run = _Run(model, job.direction(), job.guide, WINDOW.grid, job.settings)
    found = torch.stack(run.validate(job.validation))
    alone = [
        torch.stack(run.validate(Sources(*(part[row] for part in rows_of(job.validation, i)))))
        for i in range(3)
        for row in [slice(None)]
    ]
    torch.testing.assert_close(found, torch.stack(alone).mean(0))


def rows_of(sources: Sources, i: int) -> tuple[Tensor, ...]:
    row = slice(i, i + 1)
    return sources.latents[row], sources.x0[:, row], sources.features[:, row]


def test_validation_is_the_loss_at_the_end_of_the_interval(model: HSpaceUNet) -> None:
    job = new_job(model, zero_init=False, batch_size=3)
    run = _Run(model, job.direction(), job.guide, WINDOW.grid, job.settings)
    with torch.no_grad():
        *_, last = walk(model, job.validation.latents, WINDOW.grid, [run.attribute()])
    assert last.t == 856
    wanted = (last.x0 - job.validation.x0[-1]).abs().mean()
    torch.testing.assert_close(run.validate(job.validation).reconstruction, wanted)


# the steps


def test_a_batch_is_one_step_a_timestep_and_every_image_comes_once_an_epoch(
    model: HSpaceUNet,
) -> None:
    for count, size in itertools.product((1, 2, 5), (1, 2, 3, 8)):
        order = _batches(count, replace(SETTINGS, batch_size=size))
        per_epoch = math.ceil(count / size)
        assert len(order) == 2 * per_epoch
        for epoch in (order[:per_epoch], order[per_epoch:]):
            assert sorted(torch.cat(epoch).tolist()) == list(range(count))
            assert all(len(rows) == size for rows in epoch[:-1])
    job = new_job(model, 5, batch_size=3, validate_every=0)
    steps = list(job.steps(job.direction()))
    assert [(s.batch, s.t) for s in steps] == [(b, t) for b in range(4) for t in (999, 856)]
    assert {step.batches for step in steps} == {4}


def test_the_order_of_images_changes_with_epoch_and_seed() -> None:
    settings = replace(SETTINGS, batch_size=20, epochs=2)
    first, second = _batches(20, settings)
    (other, _) = _batches(20, replace(settings, seed=1))
    assert not torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(first, _batches(20, settings)[0])


@pytest.mark.parametrize("decay", [True, False])
def test_sgd_moves_by_learning_rate_times_gradient(model: HSpaceUNet, decay: bool) -> None:
    job = new_job(model, optimiser="sgd", learning_rate=0.5, decay=decay, validate_every=0)
    direction = job.direction()
    before = copied(direction)
    for step in job.steps(direction):
        now = copied(direction)
        moved = math.sqrt(sum(float((now[k] - before[k]).double().square().sum()) for k in now))
        rate = 0.5 * (1 - step.batch / 4 if decay else 1)
        assert moved == pytest.approx(rate * step.grad_norm, rel=1e-3)
        before = now
    assert step.grad_norm > 0


def test_the_learning_rate_falls_to_zero_linearly() -> None:
    rates = [rate_at(batch, 4, SETTINGS) for batch in range(5)]
    assert rates == pytest.approx([0.02, 0.015, 0.01, 0.005, 0.0])
    assert rate_at(3, 4, replace(SETTINGS, decay=False)) == 0.02


@pytest.mark.parametrize("kind", ["implicit", "timestep", "global"])
def test_every_kind_learns(model: HSpaceUNet, kind: Any) -> None:
    job = new_job(model, 4, kind=kind, epochs=8, validate_every=4, lambda_recon=0.0)
    job = job._replace(validation=job.sources)
    steps = list(job.steps(job.direction()))
    before = next(step for step in steps)
    after = min(step.total for step in steps if step.t is None)
    assert before.total == pytest.approx(1.0, abs=1e-4)  # no shift has no direction: cos = 0
    assert after < 0.6


@pytest.mark.parametrize("kind", ["implicit", "timestep", "global"])
def test_training_begins_at_the_plain_reconstruction(model: HSpaceUNet, kind: Any) -> None:
    direction = new_direction(model, WINDOW.grid, replace(SETTINGS, kind=kind))
    h, emb = noise(2, *model.h_shape), noise(2, model.emb_channels)
    assert all(not direction(h, emb, t).any() for t in (999, 856))
    assert sum(p.numel() for p in direction.parameters()) > 0


def test_the_official_initialisation_is_not_zero_and_comes_from_the_seed(
    model: HSpaceUNet,
) -> None:
    h, emb = noise(1, *model.h_shape), noise(1, model.emb_channels)
    before = torch.random.get_rng_state()
    settings = replace(SETTINGS, zero_init=False)
    made = [new_direction(model, (), replace(settings, seed=seed)) for seed in (0, 0, 1)]
    dhs = [direction(h, emb, 500) for direction in made]
    assert torch.equal(dhs[0], dhs[1])
    assert not torch.equal(dhs[0], dhs[2])
    assert float(dhs[0].detach().abs().max()) > 0.01
    assert torch.equal(torch.random.get_rng_state(), before)


def test_only_the_direction_is_trained(job: Job) -> None:
    before, latents = job.model.fingerprint(), job.sources.latents.clone()
    list(job.steps(job.direction()))
    assert job.model.fingerprint() == before
    assert all(p.grad is None for p in job.model.unet.parameters())
    assert torch.equal(job.sources.latents, latents)


def test_a_network_in_bfloat16_trains_a_direction_in_float32() -> None:
    job = new_job(tiny_model(dtype=torch.bfloat16))
    assert job.sources.latents.dtype == torch.float32
    direction = job.direction()
    steps = list(job.steps(direction))
    assert {p.dtype for p in direction.parameters()} == {torch.float32}
    assert all(math.isfinite(step.total) for step in steps)
    assert steps[-2].directional < 0.9 < steps[0].directional


def test_a_loss_that_is_not_finite_stops_the_run_and_spares_the_checkpoint(
    model: HSpaceUNet, tmp_path: Path
) -> None:
    job = new_job(model, optimiser="sgd", learning_rate=1e30, validate_every=0, lambda_recon=1e9)
    with pytest.raises(AsyrpError, match="training diverged; lower the learning rate"):
        list(job.steps(job.direction(), tmp_path / "state"))
    kept = load_file(tmp_path / "state") if (tmp_path / "state").exists() else {}
    assert all(value.isfinite().all() for value in kept.values())


# the official code's variants


class Projection:
    """The fixtures' image encoder."""

    name = "fixture"
    text_common = 0.0

    def __init__(self, matrix: Tensor):
        self.matrix = matrix

    def image_features(self, images: Tensor) -> Tensor:
        return functional.normalize(images.flatten(1) @ self.matrix.T, dim=1)

    def text_features(self, texts: Any) -> Tensor:
        raise NotImplementedError


@pytest.mark.parametrize(("kind", "weight"), [("training", 3.0), ("training_clip_only", 0.0)])
@pytest.mark.parametrize("name", ["ddpm", "adm"])
def test_fit_with_the_official_settings_is_the_official_training(
    name: str, kind: str, weight: float
) -> None:
    """Clean CLIP source, log form, SGD 0.5, one step a timestep: the official losses, to 1e-4."""
    net = official.load(FIXTURES, name)
    given = load_file(FIXTURES / f"{name}.{kind}.safetensors")
    grid = pairs(given["timesteps"].flip(0).tolist())
    text, cosine = given["text_direction"][0], float(given["text_cosine"])
    guide = Guide(Projection(given["image_encoder"]), text, cosine)
    images, x = given["x0_image"], given["x_T"]
    sources = joined(list(prepare(net.model, guide, x, Window((), grid), 1, images)))
    settings = replace(official_settings(), batch_size=len(x), lambda_recon=weight)
    f_t = official.direction(part(given, "before."), net.layout)
    steps = list(fit(net.model, f_t, guide, sources, grid, settings))
    rows = [(s.total, s.directional, s.reconstruction, s.grad_norm) for s in steps]
    wanted = torch.cat([given["losses"], given["grad_norms"][:, None]], dim=1)
    torch.testing.assert_close(torch.tensor(rows), wanted, rtol=1e-4, atol=1e-6)
    ends = official.direction(part(given, "after."), net.layout).state_dict()
    for key, value in f_t.state_dict().items():
        assert float((value - ends[key]).norm() / ends[key].norm()) < 1e-4


def part(given: State, prefix: str) -> State:
    return {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}


@pytest.mark.parametrize("layout", ["ddpm", "adm"])
@pytest.mark.parametrize("kind", ["implicit", "timestep", "global"])
def test_the_official_settings_run(model: HSpaceUNet, kind: Any, layout: Any) -> None:
    settings = official_settings(kind, layout)
    window = editing_window(999, 900, settings.steps)
    sources = sources_of(model, 2, window=window, clean=True)
    job = Job(model, tiny_guide(), sources, None, settings, window)
    direction = job.direction()
    steps = list(job.steps(direction))
    assert isinstance(direction, ImplicitDirection) == (kind == "implicit")
    assert [step.t for step in steps] == [999, 973, 947, 922] * 2  # batch 1, one epoch
    assert all(math.isfinite(step.total) for step in steps)
    first = steps[0]
    clip = -math.log((2 - first.directional) / 2)
    recon = 3.0 * job.guide.cosine * first.reconstruction
    assert first.total == pytest.approx(clip + recon, rel=1e-5)


def test_the_clean_source_is_the_image_at_every_timestep(model: HSpaceUNet) -> None:
    x, encoder = noise(3, 3, 16, 16), tiny_guide().encoder
    clean, predicted = sources_of(model, 3, clean=True), sources_of(model, 3)
    assert torch.equal(clean.x0, predicted.x0)
    for k in range(len(WINDOW.grid)):
        torch.testing.assert_close(clean.features[k], encoder.image_features(x))
        own = encoder.image_features(predicted.x0[k])
        torch.testing.assert_close(predicted.features[k], own)


# the unedited walk


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_unedited_walk_does_not_depend_on_the_batch_size(model: HSpaceUNet, size: int) -> None:
    x, window = noise(5, 3, 16, 16), editing_window(800, 400, steps=8)
    found = joined(list(prepare(model, tiny_guide(), x, window, size)))
    with torch.no_grad():
        steps = list(walk(model, x, (*window.lead, *window.grid)))
    torch.testing.assert_close(found.latents, steps[1].x)  # 999 and 856 lead to 713
    wanted = torch.stack([step.x0 for step in steps[2:]])
    torch.testing.assert_close(found.x0, wanted, rtol=1e-4, atol=1e-4)
    assert not found.x0.requires_grad


def test_the_window_is_the_editing_interval() -> None:
    window = editing_window(800, 400, steps=8)
    assert [pair.t for pair in window.lead] == [999, 856]
    assert [pair.t for pair in window.grid] == [713, 570, 428]
    assert editing_window(800, 400, steps=8, t_top=800) == Window((), window.grid)
    with pytest.raises(AsyrpError, match="lies between t_start 550 and t_edit 500"):
        editing_window(550, 500, steps=8)


def test_the_settings_refuse_what_cannot_be() -> None:
    for wrong in ({"epochs": 0}, {"batch_size": 0}, {"patience": 0}, {"lambda_clip": -1.0}):
        with pytest.raises(AsyrpError, match=next(iter(wrong))):
            TrainSettings(**wrong)
    for rate in (0.0, -1.0, math.nan):
        with pytest.raises(AsyrpError, match="learning_rate must be above 0"):
            TrainSettings(learning_rate=rate)
