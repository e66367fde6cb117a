"""--store of invert, train and edit: the same results, and no work twice."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from asyrp.commands.common import network
from asyrp.method.cost import Cost, counted
from asyrp.method.latent_cache import latents_from
from asyrp.method.latent_file import load_latents
from asyrp.options import Network
from asyrp.storage.record_store import RecordStore
from places import FEW, QUICK, Place, call, edit_of, results, train_of
from places import picture as pixels


@pytest.fixture
def cost(place: Place) -> Iterator[Cost]:
    """What the commands of a test ask of the network."""
    with counted(network(Network())) as found:
        yield found


def invert_of(p: Place, *more: object) -> list[object]:
    return ["invert", "--images", p.faces, "--out", p.out, *FEW, "--refinements", 0, *more]


def test_a_store_gets_the_latents_that_a_file_would_get(place: Place) -> None:
    store, plain = place.root / "store", place.root / "plain"
    assert call(*invert_of(place, "--store", store)) == 0
    assert call(*invert_of(place, "--out", plain)) == 0
    told = json.loads((place.out / "run.json").read_text())
    wanted = load_latents(plain / "latents.safetensors")
    assert list(told["keys"]) == list(wanted.names)
    found = latents_from(RecordStore(store), list(told["keys"].values()))
    torch.testing.assert_close(found, wanted.x)
    assert results(place.out) == [
        "face0.png",
        "face1.png",
        "run.json",
    ]
    assert (pixels(place.out / "face0.png") == pixels(plain / "face0.png")).all()


def test_a_second_inversion_runs_no_network(
    place: Place, cost: Cost, capsys: pytest.CaptureFixture[str]
) -> None:
    store = place.root / "store"
    assert call(*invert_of(place, "--store", store)) == 0
    assert cost.encodes == 2 * 3 + 2 * 4  # up, and back as a check
    shutil.move(place.out, place.root / "before")
    assert call(*invert_of(place, "--store", store)) == 0
    assert cost.encodes == 2 * 3 + 2 * 4
    assert "0 of 2 images inverted; the store had the others" in capsys.readouterr().err


def test_more_images_than_a_batch_are_all_kept_and_the_first_batch_is_checked(
    place: Place, shared: Path
) -> None:
    where = ["--images", shared / "four", "--store", place.root / "store", "--batch-size", 2]
    assert call(*invert_of(place, *where)) == 0
    assert len(json.loads((place.out / "run.json").read_text())["keys"]) == 4
    assert len(list(place.out.glob("*.png"))) == 2


def test_an_edit_from_a_store_is_the_edit(place: Place, cost: Cost) -> None:
    store, plain = place.root / "store", place.root / "plain"
    assert call(*edit_of(place, "--out", plain)) == 0
    assert call(*edit_of(place, "--store", store)) == 0
    before = cost.encodes
    assert call(*edit_of(place, "--store", store, "--out", place.root / "again")) == 0
    assert cost.encodes - before == 2 * 4  # the edit alone
    for name in ("face0.png", "face1.png"):
        found, wanted = pixels(place.out / name).astype(int), pixels(plain / name).astype(int)
        assert abs(found - wanted).max() <= 1
    told = json.loads((place.out / "run.json").read_text())
    assert set(told["keys"]) == {"face0.png", "face1.png"}


def test_the_noise_of_an_image_does_not_depend_on_its_batch(place: Place) -> None:
    ends = [place.root / name for name in ("one", "two")]
    for out, size in zip(ends, (1, 2), strict=True):
        assert call(*edit_of(place, "--out", out, "--batch-size", size, "--t-boost", 400)) == 0
    found, wanted = (pixels(out / "face1.png").astype(int) for out in ends)
    assert abs(found - wanted).max() <= 1


@pytest.mark.parametrize("source", ["predicted", "clean"])
def test_training_from_a_store_finds_the_same_direction(
    place: Place, cost: Cost, source: str
) -> None:
    how, costs = [*QUICK, "--train.clip-source", source], list[int]()
    how += ["--train.no-zero-init"]  # from dh = 0 the first gradient is rounding
    ends = [place.root / name for name in ("plain.safetensors", "a.safetensors", "b.safetensors")]
    for out, more in zip(ends, ([], *[["--store", place.root / "store"]] * 2), strict=True):
        before = cost.encodes
        assert call(*train_of(place, *how, *more, "--out", out)) == 0
        costs.append(cost.encodes - before)
    # 2 images: 5 steps up; 2 unedited and 2 edited steps at 999 and 799
    assert costs == [2 * (5 + 2 + 2), 2 * (5 + 2 + 2), 2 * 2]
    plain, first, second = (load(path) for path in ends)
    for key, value in plain.items():
        # where a gradient is rounding, Adam's step is a whole one all the same
        apart = ~torch.isclose(first[key], value, rtol=1e-3, atol=1e-4)
        assert apart.float().mean() < 1e-3
        assert torch.equal(first[key], second[key])


def load(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def test_random_samples_are_walked_once_for_every_attribute(place: Place, cost: Cost) -> None:
    costs = []
    for target in ("smiling face", "sad face"):
        before = cost.encodes
        words = list(train_of(place, *QUICK, "--random", 2, "--target", target))
        images = words.index("--images")
        del words[images : images + 2]
        out = place.root / f"{target}.safetensors"
        assert call(*words, "--store", place.root / "s", "--out", out) == 0
        costs.append(cost.encodes - before)
    drawing = 2 * 40
    assert costs == [drawing + 2 * (2 + 2), drawing + 2 * 2]


@pytest.mark.parametrize("command", ["invert", "edit", "train"])
def test_a_folder_that_is_no_store_is_refused(
    place: Place, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    words = {"invert": invert_of(place), "edit": edit_of(place), "train": train_of(place, *QUICK)}
    assert call(*words[command], "--store", place.faces) == 2
    assert "holds something else; give another folder" in capsys.readouterr().err
    assert len(list(place.faces.iterdir())) == 2
