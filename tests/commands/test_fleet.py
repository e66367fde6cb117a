"""The arithmetic of docs/measured_advice.md, and its recipe on a folder of tiny pictures."""

import csv
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch

from asyrp.method.editing import latents_of
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_cache import latents_from
from asyrp.method.unedited_trajectory import editing_window
from asyrp.storage.images import read_folder, write_png
from asyrp.storage.record_store import SHARD_BYTES, RecordStore, key_of
from bench import meter
from bench.subjects import RandomTower, subject
from conftest import noise

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "measured_advice.md"
RECIPE = ROOT / "examples" / "fleet" / "invert_with_datasets.py"


# the arithmetic of docs/measured_advice.md


def test_the_page_states_what_is_counted() -> None:
    page = PAGE.read_text()
    with torch.device("meta"), torch.no_grad():
        model, x = subject("ddpm-256", device="meta"), torch.zeros(1, 3, 256, 256)
        encode = meter.flops_of(lambda: model.encode(x, torch.tensor(5))) / 1e12
        both = meter.flops_of(lambda: model(x, torch.tensor(5))) / 1e12
        look = meter.flops_of(lambda: RandomTower().tower(pixel_values=x[..., :224, :224])) / 1e12
    decode, k = both - encode, len(editing_window(999, 513).grid)
    work = {
        "inversion": 39 * both,
        "edit": 40 * encode + (40 + k) * decode,
        "walk": k * both,
        "training": k * (encode + 3 * decode + 2 * look),
    }
    assert f"encoder {1000 * encode:.0f} GFLOP, decoder {1000 * decode:.0f}" in page
    assert f"together {1000 * both:.0f}; CLIP ViT-B/16 forward {1000 * look:.0f}." in page
    assert all(f"| {flops:.1f} |" in page for flops in work.values()), work
    rate, seconds = 50, 1e6 * work["inversion"] / 50
    hours = [f"{seconds / 3600:.0f} hours", f"{seconds / 8 / 3600:.1f} hours"]
    assert f"| {hours[0]} | {hours[1]} | {seconds / 512 / 60:.1f} minutes |" in page
    assert f"| {512 * 0.786432 * rate / work['inversion']:,.0f} MB/s |" in page
    step = 8000 * work["training"] / k / rate
    assert f"| {step:.0f} ms | {step / 8:.0f} ms |" in page


@pytest.mark.parametrize(("size", "column"), [(64, 0), (256, 1)])
def test_the_page_states_the_bytes_of_a_store(tmp_path: Path, size: int, column: int) -> None:
    page = PAGE.read_text()
    latent, count = 3 * size * size * 4, 20
    images = -(-SHARD_BYTES // latent)
    assert [f"{n:,}" for n in (3 * 64 * 64 * 4, 3 * 256 * 256 * 4)][column] == f"{latent:,}"
    assert f"{latent:,}" in page
    assert f"{images:,}" in page
    assert f"| {-(-10_000 // images):,} |" in page
    assert f"| {-(-1_000_000 // images):,} |" in page
    store = RecordStore(tmp_path / "store")
    for number in range(count):
        store.add(key_of(number), {"x": torch.zeros(3, size, size)})
    store.flush()
    (shard,) = (tmp_path / "store").glob("*.safetensors")
    assert shard.stat().st_size / count - latent == pytest.approx(270, abs=20)


# the recipe


@pytest.fixture
def recipe(model: HSpaceUNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module, with a tiny network; five pictures, one of which is broken."""
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    spec = spec_from_file_location("fleet_recipe", RECIPE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "fleet_recipe", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "network", lambda spec: model)
    monkeypatch.setattr(module, "TOGETHER", 2)
    (tmp_path / "photos").mkdir()
    for number in range(4):
        image = noise(3, 16, 16, seed=number).tanh()
        write_png(tmp_path / "photos" / f"{number}.png", image)
    return module


@pytest.mark.filterwarnings("default")  # of the library
def test_the_recipe_inverts_a_folder_once(
    recipe: Any, model: HSpaceUNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.stack([one.image for one in read_folder(tmp_path / "photos", (16, 16))])
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    store = tmp_path / "store"
    words = ["x", "--images", str(tmp_path / "photos" / "*.png"), "--store", str(store)]
    rows = {}
    for machine in range(2):
        line = [*words, "--steps", "4", "--machine", str(machine), "--machines", "2"]
        monkeypatch.setattr(sys, "argv", line)
        recipe.main()
        with (store / f"keys-{machine:05d}.csv").open() as file:
            rows |= {Path(row["path"]).stem: row["key"] for row in csv.DictReader(file)}
    assert sorted(rows) == ["0", "1", "2", "3", "broken"]
    assert rows.pop("broken") == ""
    found = latents_from(RecordStore(store), [rows[str(number)] for number in range(4)])
    torch.testing.assert_close(found, latents_of(model, images, 4), rtol=1e-4, atol=1e-5)
    shards = set(store.glob("*.safetensors"))
    recipe.store_at.cache_clear()
    recipe.main()  # again
    assert set(store.glob("*.safetensors")) == shards
