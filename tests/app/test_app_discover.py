"""The pages that discover directions, and that have edits judged by eye."""

import html
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from app_doubles import GRID, STEPS, new_studio
from asyrp.app.ballots import Ballot, drawn, page
from asyrp.app.discovery import Component, Search, discovered, keep
from asyrp.app.jobs import Job
from asyrp.app.judging import BY_EYE, judged, region_of
from asyrp.app.plans import Dosage
from asyrp.app.studio import Studio
from asyrp.app.training import Trained
from asyrp.errors import AsyrpError
from asyrp.method.editing import edit, random_latents
from asyrp.method.editing_interval import EditInterval
from asyrp.runtime.generators import Running

SEARCH = Search(2, 16, EditInterval(700, 300), 0, "face", ("smile", "frown", "hat"))


def found(studio: Studio, search: Search = SEARCH) -> list[Component]:
    running = Running(discovered(studio.tools, search))
    assert {one.what for one in running} == {"looking at h of samples", "naming and drawing"}
    return running.value


def test_components_are_shown_named_and_kept_as_directions(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'asyrp[find]'")
    studio = new_studio(tmp_path, directions=False)
    first, second = found(studio)
    variance = [one.saved.card.training["explains"]["variance"] for one in (first, second)]
    assert variance[0] > variance[1] > 0
    assert first.told.startswith(f"pca-1: {100 * variance[0]:.1f} % of the variance of h; +")
    assert first.picture.shape == (3, 2 * 20, 5 * 20)
    middle = first.picture[:, 2:18, 42:58]  # strength 0 of the first sample
    x = random_latents(studio.model, 1, 0)
    assert torch.allclose(middle, edit(studio.model, x, (), 20)[0], rtol=1e-4, atol=1e-3)
    path = keep(studio.folder, second, 0, 1)
    (entry,) = studio.gallery.listing().entries.values()
    assert entry.path == path
    assert (entry.card.source, entry.card.t_start, entry.card.t_edit) == ("face", 700, 300)


@pytest.mark.parametrize("change", [{"components": 0}, {"components": 99}, {"samples": 3}])
def test_searches_out_of_range_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(AsyrpError, match=next(iter(change))):
        SEARCH._replace(**change).checked()


def ballot(studio: Studio, *given: tuple[str, float]) -> Ballot:
    entries = studio.gallery.listing().entries
    methods = [Dosage(entries[key], strength) for key, strength in given]
    running = Running(drawn(studio.model, GRID, methods, 3, 5))
    dones = [one.done for one in running]
    assert dones == list(range(1, (1 + len(methods)) * STEPS + 1))
    return running.value


def test_a_ballot_holds_the_edits_of_unchosen_faces(studio: Studio) -> None:
    made = ballot(studio, ("own: odd", 0.5), ("own: strange", -1.0))
    x, entry = random_latents(studio.model, 3, 5), studio.gallery.listing().entries["own: odd"]
    assert torch.allclose(made.before, edit(studio.model, x, (), STEPS), rtol=1e-4, atol=1e-3)
    act = entry.saved.attribute(0.5 * entry.card.strength)
    wanted = edit(studio.model, x, [act], STEPS, entry.card.t_boost, 5)
    assert torch.allclose(made.after[0], wanted, rtol=1e-4, atol=1e-3)


def test_sides_and_order_are_random_and_recorded(studio: Studio) -> None:
    made = ballot(studio, ("own: odd", 0.5), ("own: strange", -1.0))
    pages = [page(made, seed) for seed in range(12)]
    orders = [re.findall(r'<li data-face="(\d)" data-left="([AB])"', text) for text in pages]
    assert all(sorted(i for i, _ in order) == ["0", "1", "2"] for order in orders)
    assert len({tuple(i for i, _ in order) for order in orders}) > 1
    assert {side for order in orders for _, side in order} == {"A", "B"}
    assert page(made, 3) == pages[3]
    shown = re.sub(r'data-record="[^"]*"', "", pages[0])
    assert "strange" not in shown  # blind
    told = json.loads(html.unescape(re.search(r'data-record="([^"]*)"', pages[0])[1]))  # type: ignore[index]
    assert told["methods"]["B"]["file"] == "strange.safetensors"


def test_one_method_is_judged_good_bad_or_unsure(studio: Studio) -> None:
    text = page(ballot(studio, ("own: odd", 0.5)), 0)
    assert re.findall(r'data-vote="(\w+)"', text) == ["good", "bad", "unsure"]


def test_a_ballot_of_too_many_faces_is_refused(studio: Studio) -> None:
    with pytest.raises(AsyrpError, match="number of faces"):
        next(drawn(studio.model, GRID, [], 65, 0))


class Eyes:
    """A judge that sees whether a picture is bright, and whether it is red."""

    def __init__(self) -> None:
        self.values = {"Bright": ("no", "yes"), "hue": ("grey", "red")}

    def logits(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        bright = images.mean((1, 2, 3))
        red = images[:, 0].mean((1, 2)) - images[:, 1].mean((1, 2)) - 0.5
        pairs = {"Bright": bright, "hue": red}
        return {k: torch.stack([torch.zeros(len(v)), v], dim=1) for k, v in pairs.items()}


def test_a_region_is_that_of_the_task_of_a_text() -> None:
    smile, hat = ("smile", (0.2, 0.5, 0.8, 0.5, 0.5, 0.9)), ("hat", ())
    tasks = {text: SimpleNamespace(target=text, region=region) for text, region in (smile, hat)}
    domain: Any = SimpleNamespace(tasks=tasks)
    assert region_of(domain, "smile") == smile[1]
    for where, text, known in ((domain, "hat", "'smile'"), (None, "smile", "no text here")):
        with pytest.raises(AsyrpError, match=f"no region is known for '{text}'.*{known}"):
            region_of(where, text)


def test_what_the_judge_sees_on_held_out_faces_is_told() -> None:
    task = SimpleNamespace(target="bright face", attribute="Bright", value="yes")
    scorers = SimpleNamespace(judge=Eyes())
    domain: Any = SimpleNamespace(scorers=scorers, tasks={"bright": task})
    before, after = -torch.ones(4, 3, 8, 8), torch.ones(4, 3, 8, 8)
    after[0] = -1
    after[1, 1:] = -1  # red, and on the whole dark
    trained = Trained(Path("x"), before, after)
    told = judged(domain, Job("face", "bright face"), trained)
    assert told.startswith("The judge sees bright on 2 of 4 held-out faces, 2 of them anew.")
    assert "hue red on 1" in told
    other = judged(domain, Job("face", "happy face"), trained)
    assert "bright on 2, hue red on 1 (of 4)" in other
    assert judged(None, Job("face", "happy face"), trained) == BY_EYE
