"""What is fetched is the same for ever: a SHA-256 for each URL, a commit for each Hub name."""

import ast
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import transformers

from asyrp.networks import latent_pipeline, load_model
from asyrp.networks.presets import EVERY
from asyrp.runtime.download import hub_file, hub_folder, parse_source
from asyrp.scorers import clip, lpips
from asyrp.scorers.clip import DEFAULT, load_clip
from asyrp.storage.image_sources import hugging_face
from asyrp.storage.untrusted.revisions import KNOWN, pinned
from conftest import tiny_unet
from tiny_folders import save_clip, save_ldm

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SOURCE = Path(clip.__file__).parents[1]


def test_a_name_and_its_revision_are_taken_apart(tmp_path: Path, monkeypatch: Any) -> None:
    assert pinned("owner/name@v1") == ("owner/name", "v1")
    assert pinned("owner/name@refs/pr/3") == ("owner/name", "refs/pr/3")
    assert pinned("owner/name") == ("owner/name", None)
    assert pinned(DEFAULT) == (DEFAULT, KNOWN[DEFAULT])
    assert pinned(f"{DEFAULT}@main") == (DEFAULT, "main")
    (tmp_path / "a@b").mkdir()
    assert pinned(tmp_path / "a@b") == (str(tmp_path / "a@b"), None)
    monkeypatch.chdir(tmp_path)
    Path(DEFAULT).mkdir(parents=True)
    assert pinned(DEFAULT) == (DEFAULT, None)


def test_revisions_are_commits() -> None:
    assert all(re.fullmatch("[0-9a-f]{40}", revision) for revision in KNOWN.values())


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """A Hub on this machine, whose snapshots lie under their commit; what it was asked for."""
    found: list[tuple[str, str | None]] = []

    def place(name: str, revision: str | None) -> Path:
        found.append((name, revision))
        commit = revision if revision and len(revision) == 40 else COMMIT
        target = tmp_path / "hub" / name.replace("/", "--") / commit
        if not target.exists():
            shutil.copytree(tmp_path / "remote" / name, target)
        return target

    def snapshot(name: str, revision: str | None, **how: Any) -> str:
        return str(place(name, revision))

    def single(name: str, filename: str, revision: str | None, **how: Any) -> str:
        path = place(name, revision) / filename
        if not path.is_file():
            raise huggingface_hub.errors.EntryNotFoundError("none")
        return str(path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", single)
    return found


Asked = list[tuple[str, str | None]]


def test_a_network_comes_at_the_revision_that_was_named(tmp_path: Path, asked: Asked) -> None:
    tiny_unet().save_pretrained(tmp_path / "remote" / "owner/net")
    with pytest.warns(UserWarning, match=f"name owner/net@{COMMIT}"):
        load = hub_folder("owner/net")
    other = "f" * 40
    assert hub_folder(f"owner/net@{other}").name == other
    assert hub_file(f"owner/net/config.json@{other}") == load.parent / other / "config.json"
    assert {*asked} == {("owner/net", None), ("owner/net", other)}


@pytest.mark.filterwarnings("ignore:.*has no scheduler_config")
def test_a_model_s_name_takes_a_revision(tmp_path: Path, asked: Asked) -> None:
    tiny_unet().save_pretrained(tmp_path / "remote" / "owner/net")
    assert load_model(f"owner/net@{COMMIT}").image_shape == (3, 16, 16)
    assert {revision for _, revision in asked} == {COMMIT}


def test_a_pipeline_of_latents_does_too(tmp_path: Path, asked: Asked) -> None:
    save_ldm(tmp_path / "remote" / "owner/ldm")
    with pytest.warns(UserWarning, match=f"name owner/ldm@{COMMIT}"):
        assert latent_pipeline.download("owner/ldm") is not None
    assert latent_pipeline.download(f"owner/ldm@{COMMIT}") is not None
    assert {*asked} == {("owner/ldm", None), ("owner/ldm", COMMIT)}


def test_every_part_of_an_encoder_comes_at_one_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, asked = save_clip(tmp_path / COMMIT), []

    def local(name: str, *words: Any, revision: str | None = None, **how: Any) -> Any:
        if name != str(folder):  # as the library asks itself for what it was given
            asked.append((name, revision))
        return words, how

    def cached(name: str, file: str, **how: Any) -> str | None:
        local(name, revision=how["revision"])
        return str(folder / file) if (folder / file).is_file() else None

    monkeypatch.setattr(transformers.utils, "cached_file", cached)
    for kind in (transformers.AutoConfig, transformers.AutoModel, transformers.AutoTokenizer):
        load = kind.from_pretrained

        def loaded(name: str, load: Any = load, revision: Any = None, **how: Any) -> Any:
            local(name, revision=revision)
            return load(str(folder), **how)

        monkeypatch.setattr(kind, "from_pretrained", loaded)
    assert load_clip(DEFAULT).name == DEFAULT
    assert {*asked} == {(DEFAULT, KNOWN[DEFAULT])}
    asked.clear()
    with pytest.warns(UserWarning, match=f"name owner/clip@{COMMIT}"):
        load_clip("owner/clip")
    assert {*asked} == {("owner/clip", None)}


def test_a_dataset_does_too(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    asked = []

    def load(name: str, **how: Any) -> Any:
        asked.append((name, how["revision"]))
        raise OSError("no Hub")

    monkeypatch.setattr(datasets, "load_dataset", load)
    for spec in ("owner/faces@v2:test", "owner/faces"):
        with pytest.raises(ValueError, match="no Hub"):
            list(hugging_face(spec))
    assert asked == [("owner/faces", "v2"), ("owner/faces", None)]


# digests


def test_what_torchvision_s_weights_hash_to() -> None:
    for net, digest in lpips._SHA256.items():
        assert re.fullmatch("[0-9a-f]{64}", digest)
        assert f"-{digest[:8]}." in lpips._TRUNKS[net].weights


def test_every_url_of_a_preset_that_is_not_told_apart_by_sha256_is_known_for_it() -> None:
    """Nobody published one for these; they are compared by MD5, or told with what came."""
    lacking = {
        source.place.partition("?")[0].rpartition("/")[0]
        for preset in EVERY
        for source in preset.sources
        if source.kind == "url" and "sha256" not in str(parse_source(source.place)[1])
    }
    assert {place.split("/")[2] for place in lacking} == {
        "drive.usercontent.google.com",
        "drive.google.com",
        "heibox.uni-heidelberg.de",
        "image-editing-test-12345.s3-us-west-2.amazonaws.com",
    }


@cache
def every_call() -> list[tuple[str, str, set[str]]]:
    """What is called, where, and with which keywords."""
    return [
        (getattr(node.func, "attr", getattr(node.func, "id", "")), f"{path.name}:{node.lineno}",
         {str(word.arg) for word in node.keywords})
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["from_pretrained", "cached_file", "snapshot_download", "hf_hub_download",
             "load_dataset"],
)  # fmt: skip
def test_every_call_that_may_fetch_says_which_revision(name: str) -> None:
    local = {"None", "revision", "local_files_only"}  # None: a dict that holds one
    found = [(place, words) for called, place, words in every_call() if called.endswith(name)]
    for place, words in found:
        assert words & local, place
        assert "revision" in words or "None" in words or "latent_pipeline.py" in place, place
