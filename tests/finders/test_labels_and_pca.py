"""Directions from labels and from nothing but images, against the truth of an analytic network."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import asyrp.finders.bottlenecks as bottlenecks
from asyrp.errors import AsyrpError
from asyrp.finders.base import FinderData, FinderStep, last_of
from asyrp.finders.catalogue import Labels, Pca
from asyrp.finders.matching import matched, upright
from asyrp.finders.pca import principal
from asyrp.method.editing import latents_of
from asyrp.method.unedited_trajectory import editing_window
from conftest import noise
from planted import PLANTED, SPREADS, planted

NETWORK, MODEL = planted()
WINDOW = editing_window(850, 500, steps=20)
STEPS = 20


def data_of(z: Tensor, **more: Any) -> FinderData:
    x = latents_of(MODEL, NETWORK.images_of(z), STEPS, refinements=1, up_to=850)
    at = editing_window(850, 500, STEPS, t_top=850)
    return FinderData(x, at, **more)


def cosines(direction: Any, factor: int = PLANTED) -> Tensor:
    """To the truth, at every timestep."""
    truth = NETWORK.truth(factor)[None]
    rows = torch.stack(list(direction.table.values()))
    return functional.cosine_similarity(rows.flatten(1), truth.flatten(1))


@pytest.fixture(scope="module")
def z() -> Tensor:
    return noise(240, len(SPREADS), seed=7)


@pytest.mark.parametrize("estimate", ["means", "logistic", "svm"])
def test_labels_recover_the_planted_factor(z: Tensor, estimate: Any) -> None:
    data = data_of(z, labels=(z[:, PLANTED] > 0).long())
    (found,) = last_of(Labels("", "planted", "yes", estimate).find(MODEL, data))
    assert cosines(found.direction).min() >= 0.9
    assert found.explains["mean_accuracy"] > 0.9
    assert found.explains["folds"] == 5
    assert found.explains["converged"]
    assert found.explains["images"] == {
        "with": int((z[:, PLANTED] > 0).sum()),
        "without": int((z[:, PLANTED] <= 0).sum()),
    }


def test_labels_of_chance_explain_nothing(z: Tensor) -> None:
    data = data_of(z, labels=(noise(len(z), seed=99) > 0).long())
    (found,) = last_of(Labels("", "planted", "yes", "logistic").find(MODEL, data))
    assert 0.3 < found.explains["mean_accuracy"] < 0.7


def test_strength_1_leads_from_one_class_to_the_other(z: Tensor) -> None:
    labels = (z[:, PLANTED] > 0).long()
    for estimate in ("means", "svm"):
        data = data_of(z, labels=labels)
        (found,) = last_of(Labels("", "planted", "yes", estimate).find(MODEL, data))
        h = torch.cat(
            [
                s.encoded.h
                for s in [*bottlenecks.unedited_steps(MODEL, data.latents, data.window)][-1:]
            ]
        )
        apart = h[labels == 1].mean(0) - h[labels == 0].mean(0)
        last = found.direction.table[min(found.direction.table)]
        assert float(((apart - last) * NETWORK.truth()).sum().abs()) < 0.1 * float(last.norm())


def test_too_few_labels_are_refused(z: Tensor) -> None:
    labels = torch.zeros(len(z), dtype=torch.long)
    labels[:3] = 1
    with pytest.raises(AsyrpError, match="needed|need 4 images or more .* got 3 with it"):
        last_of(Labels("", "planted", "yes", "means").find(MODEL, data_of(z, labels=labels)))


@pytest.mark.parametrize("over", ["joint", "timestep"])
def test_pca_recovers_the_planted_factors(z: Tensor, over: Any) -> None:
    found = last_of(Pca(2, over).find(MODEL, data_of(z)))
    assert [one.name for one in found] == ["pca-1", "pca-2"]
    for factor, one in enumerate(found):
        near = cosines(one.direction, factor)
        assert near.abs().min() >= 0.9
        assert len(set(near.sign().tolist())) == 1  # the same way round at every timestep
    first, second = (one.explains["variance"] for one in found)
    if over == "joint":
        assert 1 > first > second > 0
    else:
        assert all(1 > first[t] > second[t] > 0 for t in first)


def test_a_component_is_one_standard_deviation_long(z: Tensor) -> None:
    (found,) = last_of(Pca(1, "timestep").find(MODEL, data_of(z)))
    *_, last = bottlenecks.unedited_steps(MODEL, data_of(z).latents, data_of(z).window)
    spread = (last.encoded.h.flatten(1) @ NETWORK.truth().flatten()).std()
    assert float(found.direction.table[last.t].norm()) == pytest.approx(float(spread), rel=0.05)


def test_incremental_pca_of_small_batches_is_that_of_all_rows() -> None:
    rows = noise(50, 6, seed=3) * torch.tensor([5.0, 3, 1, 0.3, 0.3, 0.3])
    for sizes in ([50], [3] * 16 + [2], [49, 1]):
        found = principal(iter(rows.split(sizes)), 2)
        values, vectors = torch.linalg.eigh(rows.T.cov())
        for k in (1, 2):
            assert abs(float(found.rows[k - 1] @ vectors[:, -k])) > 0.999
            assert float(found.spread[k - 1]) == pytest.approx(float(values[-k].sqrt()), rel=0.02)


def test_as_many_components_as_images_are_refused(z: Tensor) -> None:
    with pytest.raises(AsyrpError, match="5 images have at most 4 components; got 5"):
        last_of(Pca(5, "joint").find(MODEL, data_of(z[:5])))


def test_components_are_matched_through_any_order_and_signs() -> None:
    basis = torch.linalg.qr(noise(9, 4))[0].T
    other = -basis[[2, 0, 3, 1]]
    other[1] *= -1
    pairing = matched(basis @ other.T)
    assert torch.allclose(pairing.of(other), basis, atol=1e-6)
    assert torch.allclose(pairing.likeness, torch.ones(4), atol=1e-5)
    assert torch.equal(upright(-basis), upright(basis))


def test_a_search_that_was_stopped_walks_no_image_again(
    z: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_of(z[:12], batch_size=4)
    whole = last_of(Pca(2, "joint").find(MODEL, data))
    kept = data_of(z[:12], batch_size=4, state=tmp_path / "state")
    steps = Pca(2, "joint").find(MODEL, kept)
    assert [next(steps) for _ in range(2)][-1] == FinderStep(8, 12 + len(WINDOW.grid))
    walked = []
    plain = bottlenecks.unedited_steps
    monkeypatch.setattr(
        bottlenecks, "unedited_steps", lambda *given: walked.append(1) or plain(*given)
    )
    found = last_of(Pca(2, "joint").find(MODEL, kept))
    assert len(walked) == 1
    for ours, theirs in zip(found, whole, strict=True):
        assert all(
            torch.equal(ours.direction.table[t], theirs.direction.table[t])
            for t in theirs.direction.table
        )
