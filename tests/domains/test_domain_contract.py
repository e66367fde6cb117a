"""What every domain keeps to, the built-in ones, one of the tests, and a user's own file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from asyrp.domains.base import SPLITS, Domain, Renderer, built_in, load_domain, source_of
from asyrp.domains.inverted_images import inverted
from asyrp.errors import AsyrpError
from asyrp.experiments.measure import judged, measured
from asyrp.scorers.judge import answers, log_odds, probabilities, shown, wanted
from own_domain import write_own

EVERY = ("shapes.domain", "own", "avatars-64")


@pytest.fixture(scope="module", params=EVERY)
def domain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Domain:
    spec = request.param
    if spec == "own":
        spec = str(write_own(tmp_path_factory.mktemp("own")))
    return load_domain(spec)


def test_every_built_in_domain_is_looked_at() -> None:
    assert set(built_in()) <= {*EVERY, "photographs-64"}


def test_it_says_what_it_is(domain: Domain) -> None:
    assert all((domain.name, domain.noun, domain.about, domain.fingerprint))
    assert domain.gives <= {"rendered_target", "labels", "condition"}
    assert [task.name for task in domain.tasks.values()] == list(domain.tasks) != []
    assert len({task.target for task in domain.tasks.values()}) == len(domain.tasks)


@pytest.mark.parametrize("split", SPLITS)
def test_its_images_are_the_same_at_every_call(domain: Domain, split: str) -> None:
    few, more = (domain.images(split, count) for count in (2, 4))  # type: ignore[arg-type]
    assert torch.equal(few.x, more.x[:2])
    assert (few.numbers, few.split) == (more.numbers[:2], split)
    assert tuple(few.x.shape[1:]) == domain.model.image_shape
    assert few.x.isfinite().all()


def test_its_splits_share_no_image(domain: Domain) -> None:
    train, test = (domain.images(split, 2).x for split in ("train", "test"))  # type: ignore[arg-type]
    if domain.noun == "shape":
        return  # there are nine shapes in all
    assert not torch.equal(train[0], test[0])


def test_what_lacks_a_value_is_a_part_of_the_images(domain: Domain) -> None:
    images = domain.images("test", 12)
    for task in domain.tasks.values():
        rows = domain.lacking(images, task)
        assert rows == sorted(set(rows) & set(range(12)))


def test_its_judge_answers_for_every_task(domain: Domain) -> None:
    judge, images = domain.scorers.judge, domain.images("test", 3).x
    assert judge is not None
    logits, seen = judge.logits(images), answers(judge, images)
    assert logits.keys() == judge.values.keys() == seen.keys()
    for name, rows in logits.items():
        assert rows.shape == (3, len(judge.values[name]))
        assert len(judge.values[name]) > 1
        assert probabilities(judge, images)[name].sum(1).tolist() == pytest.approx([1] * 3)
    assert set(judge.audited) <= set(judge.values)
    for task in domain.tasks.values():
        place = wanted(judge, task.attribute, task.value)
        odds = log_odds(judge, images, task.attribute, task.value)
        likely = probabilities(judge, images)[task.attribute][:, place].double().numpy()
        assert 1 / (1 + np.exp(-odds)) == pytest.approx(likely, abs=1e-5)
        assert task.attribute not in shown(judge, seen, task.attribute, task.value)
    with pytest.raises(AsyrpError, match="no question about 'nothing'"):
        wanted(judge, "nothing", "")


def test_its_targets_show_the_value(domain: Domain) -> None:
    if "rendered_target" not in domain.gives:
        pytest.skip("it draws none")
    judge, images = domain.scorers.judge, domain.images("test", 4)
    assert judge is not None
    renderer: Renderer = domain  # type: ignore[assignment]
    for task in list(domain.tasks.values())[:2]:
        for drawn in renderer.rendered_targets(images, task):
            assert drawn.shape == images.x.shape
            seen = answers(judge, drawn)[task.attribute]
            assert (seen == wanted(judge, task.attribute, task.value)).mean() >= 0.75


def test_its_images_are_inverted_and_measured(domain: Domain) -> None:
    task = next(iter(domain.tasks.values()))
    at = domain.model.schedule.length // 2
    images = inverted(domain.model, domain.images("test", 16), at, 4)
    assert images.at <= at
    assert images.latents.shape == images.images.shape
    values = judged(domain, task, images, images.reconstructions)
    assert {"success", "leakage", "clean", "lpips"} <= values.keys()
    found = measured(domain, task, images, images.images)
    assert found["values"]["lpips"] == pytest.approx(0, abs=1e-5)
    assert found["values"]["leakage"] == pytest.approx(0)
    assert found["sets"]["fid"].value == pytest.approx(0, abs=1e-3)


def test_a_name_that_makes_no_domain_is_refused(tmp_path: Path) -> None:
    for name in ("nothing-64", "json", "avatars-65", str(tmp_path / "none.toml")):
        with pytest.raises(AsyrpError, match=r"needed (one of: avatars-64|a domain's TOML file)"):
            source_of(name)
