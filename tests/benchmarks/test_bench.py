"""`asyrp bench` from end to end, as small as it goes, and the arithmetic of its page."""

import json
import subprocess
from mmap import mmap
from pathlib import Path
from typing import Any

import pytest
import torch

from asyrp.errors import AsyrpError
from asyrp.method.cost import encoder_share
from asyrp.method.hspace import HSpaceUNet
from asyrp.runtime.distributed import ProcessGroup
from asyrp.runtime.resumable import identities
from bench import meter
from bench.__main__ import main, put_aside
from bench.bars import BARS, Bar, at, fastest_edit, fastest_training, memory_ratio
from bench.page import bar_rows, changes, page, plot
from bench.plan import FULL, KINDS, QUICK, Apart, stages
from bench.subjects import SHAPES, plain_copy, random_ddpm, subject, tiny
from bench.worker import numbers
from bench.works import Walking, steps_within
from conftest import noise
from gloo import together

ROOT = Path(__file__).parents[2]
NAIVE = ROOT / "benchmarks" / "naive.py"


def bench_main(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts run in this process, which is quicker; their peak of memory means nothing."""

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[1:3] == ["-m", "bench.worker"]
        try:
            found = numbers(*command[3:])
        except AsyrpError as error:
            return subprocess.CompletedProcess(command, 1, "", f"Traceback\nAsyrpError: {error}")
        return subprocess.CompletedProcess(command, 0, "warmed up\n=" + json.dumps(found), "")

    monkeypatch.setattr("bench.plan.subprocess.run", run)


# meters


def test_runs_alternate_and_turn_round() -> None:
    order: list[str] = []
    works = {name: (lambda name=name: order.append(name)) for name in "ab"}
    clocks = meter.alternate(works, 3, gemm=8)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"
    assert all(len(seconds) == 3 for seconds in clocks.of.values())
    assert all(len(rates) == 3 for rates in clocks.gemm.values())


def test_a_ratio_is_that_of_runs_of_one_round() -> None:
    clocks = meter.Seconds({"slow": [2.0, 8.0, 3.0], "fast": [1.0, 2.0, 3.0]}, {}, {})
    told = clocks.ratio("slow", "fast")
    assert told == {"median": 2.0, "least": 1.0, "most": 4.0, "runs": 3}


def test_a_share_is_of_the_rate_around_the_same_run() -> None:
    clocks = meter.Seconds({"walk": [1.0, 2.0, 4.0]}, {"walk": [10.0, 10.0, 2.0]}, {"walk": 8})
    told = clocks.share("walk")
    assert told == {"median": 0.8, "least": 0.4, "most": 1.0, "runs": 3}


def test_the_rate_of_a_run_is_the_better_one_beside_it(monkeypatch: Any) -> None:
    rates = iter([3.0, 1.0, 2.0, 5.0])
    monkeypatch.setattr(meter, "gemm_rate", lambda size, dtype: next(rates))
    clocks = meter.alternate({"walk": lambda: None}, 3)
    assert clocks.gemm == {"walk": [3.0, 2.0, 5.0]}


def test_flops_are_counted_forward_and_backward() -> None:
    a = torch.zeros(2, 3, requires_grad=True)
    b = torch.zeros(3, 5, requires_grad=True)
    assert meter.flops_of(lambda: a @ b) == 2 * 2 * 3 * 5
    assert meter.flops_of(lambda: (a @ b).sum().backward()) == 3 * 2 * 2 * 3 * 5  # type: ignore


def test_the_peak_of_memory_grows_and_stays() -> None:
    def work(processes: ProcessGroup) -> list[int]:
        found = [meter.peak_bytes()]
        with mmap(-1, 200_000_000) as block:  # what the process has freed before is none of it
            for place in range(0, len(block), 4096):
                block[place] = 1
            found.append(meter.peak_bytes())
        return [*found, meter.peak_bytes()]

    ((before, grown, after),) = together(1, work)  # a new process, whose peak is its own
    assert 150e6 < grown - before < 350e6
    assert after > 0.99 * grown  # the system counts a little late


def test_the_clock_of_a_network_counts_all_of_it(model: HSpaceUNet) -> None:
    clocked, x = meter.Clocked(model), noise(1, 3, 16, 16)
    with torch.no_grad():
        encoded = clocked.encode(x, 3)
        assert clocked.seconds > 0
        before = clocked.seconds
        assert torch.equal(clocked.decode(encoded), model(x, 3))
        assert clocked.seconds > before
        before = clocked.seconds
        assert torch.equal(clocked(x, 3), model(x, 3))
    assert clocked.seconds > before
    assert clocked.image_shape == model.image_shape


# subjects


def test_the_random_ddpm_is_the_papers_network() -> None:
    with torch.device("meta"):
        whole = random_ddpm(SHAPES["ddpm-256"])
    assert sum(p.numel() for p in whole.parameters()) == 113_673_219  # google/ddpm-celebahq-256


def test_a_smaller_one_has_its_proportions() -> None:
    model = subject("ddpm-16")
    shape = SHAPES["ddpm-16"]
    assert model.image_shape == (3, shape.pixels, shape.pixels)
    assert 0.15 < encoder_share(model) < 0.35
    assert torch.equal(model(noise(1, 3, 32, 32), 5), subject("ddpm-16")(noise(1, 3, 32, 32), 5))


@torch.no_grad()
def test_memory_formats_agree() -> None:
    model = tiny()
    plain = plain_copy(model)
    x = noise(2, 3, 64, 64)
    torch.testing.assert_close(model(x, 500), plain(x, 500), rtol=1e-4, atol=1e-5)
    formats = [
        next(p for p in m.unet.parameters() if p.ndim == 4 and p.shape[2] == 3)
        for m in (model, plain)
    ]
    assert formats[0].is_contiguous(memory_format=torch.channels_last)
    assert formats[1].is_contiguous()
    assert model.fingerprint() == plain.fingerprint()


def test_a_budget_shortens_the_grid(model: HSpaceUNet) -> None:
    x = noise(1, 3, 16, 16)
    assert steps_within(1e9, model, x, 4.3, 40, 5) == 40
    assert steps_within(0.0, model, x, 4.3, 40, 5) == 2


# plan


def test_every_part_can_be_told_to_a_process() -> None:
    for work in (*FULL.values(), *QUICK.values()):
        assert KINDS[type(work).__name__] is type(work)
    marks = identities(stages(FULL, NAIVE))
    changed = {**FULL, "machine": Walking("ddpm-16", 1, 1, 2)}
    again = identities(stages(changed, NAIVE))
    assert [name for name in marks if marks[name] != again[name]] == ["machine"]


def test_a_part_that_fails_says_so(tmp_path: Path, here: None) -> None:
    with pytest.raises(AsyrpError, match=r"unknown network 'nothing'.*--only"):
        Apart(Walking("nothing", 1, 1, 2), NAIVE)(tmp_path)


def test_a_finished_run_is_put_aside_and_a_stopped_one_goes_on(tmp_path: Path) -> None:
    kept, last = tmp_path / "parts", tmp_path / "last"
    kept.mkdir()
    names = list(QUICK)
    for name in names[1:]:
        (kept / f"{name}.json").write_text(name)
    put_aside(kept, last, QUICK, ())
    assert len(list(kept.iterdir())) == len(names) - 1  # stopped: nothing is moved
    put_aside(kept, last, QUICK, (names[1],))
    assert [path.name for path in last.iterdir()] == [f"{names[1]}.json"]
    for name in names:
        (kept / f"{name}.json").write_text(name)
    put_aside(kept, last, QUICK, ())
    assert not list(kept.iterdir())
    assert len(list(last.iterdir())) == len(names)


# bars


def test_bars_compare_in_their_own_direction() -> None:
    found = {"part": {"a": {"b": 2.0}}}
    value = at("part", "a", "b")
    assert Bar("", value, 2.0).met(found) is True
    assert Bar("", value, 2.1).met(found) is False
    assert Bar("", value, None, 2.0).met(found) is True
    assert Bar("", value, None, 1.9).met(found) is False
    assert Bar("", value, 1.0).met({}) is None


def test_memory_is_that_of_many_over_few() -> None:
    assert memory_ratio({"memory-100": {"bytes": 2}, "memory-10000": {"bytes": 3}}) == 1.5
    assert memory_ratio({"memory-100": {"bytes": 2}}) is None


def test_traded_settings_are_chosen_on_validation_faces_and_told_on_test_faces() -> None:
    def way(seconds: float, held: tuple[float, float], test: tuple[float, float]) -> dict[str, Any]:
        there = {"success": held[0], "leakage": held[1]}
        told = {"success": test[0], "leakage": test[1], "validation": there}
        return told | {"seconds": seconds, "seconds_an_image": seconds}

    def reached(*rows: dict[str, Any]) -> tuple[float | None, float | None]:
        traded = {
            "editing": {"ways": rows, "naive_seconds": 8.0},
            "training": {"subsets": rows, "naive_seconds": 8.0},
        }
        return fastest_edit({"traded": traded}), fastest_training({"traded": traded})

    plain = way(4.0, (0.9, 0.05), (0.9, 0.05))
    good = way(2.0, (0.885, 0.06), (0.89, 0.06))
    weak = way(0.5, (0.87, 0.05), (0.9, 0.05))
    leaking = way(0.4, (0.9, 0.2), (0.9, 0.05))
    assert reached(plain, good, weak, leaking) == (4.0, 4.0)
    lucky = way(1.0, (0.9, 0.05), (0.8, 0.05))  # chosen, but does not keep on test faces
    assert reached(plain, good, lucky) == (0.0, 0.0)
    assert fastest_edit({}) is None


# page


def test_a_page_of_nothing_says_that_nothing_was_measured() -> None:
    text = page({}, {}, "make bench")
    assert text.count("not measured") == len(BARS)
    assert "before" not in text
    plot({})


def test_the_page_compares_with_the_run_before() -> None:
    now: dict[str, Any] = {"memory-train": {"bytes": 5e9, "seconds": 1.0}}
    before: dict[str, Any] = {"memory-train": {"bytes": 4e9, "seconds": 1.0}}
    assert "## Beside the run before" in page(now, before, "make bench")
    (row,) = changes(now, before)
    assert (row["before"], row["now"], row["change"]) == ("4.00", "5.00", "+25.0 %")
    (told,) = [row for row in bar_rows(now) if row["result"] != "–"]
    assert (told["target"], told[""]) == ("at most 6.00", "met")


SOME = ("machine", "walk-ddpm-128", "train-avatars-64", "images", "memory-100")


def test_the_command_writes_the_page_of_some_parts(tmp_path: Path, here: None) -> None:
    line = ["--quick", "--keep", tmp_path, "--docs", tmp_path / "docs"]
    line += ["--baseline", NAIVE, "--only", *SOME]
    assert bench_main(*line) == 0
    assert not (tmp_path / "docs").exists()  # quick numbers are no documentation
    keep = tmp_path / "quick"
    told = json.loads((keep / "bench.json").read_text())["parts"]
    assert set(told) == set(SOME)
    text = (keep / "performance.md").read_text()
    assert told["machine"]["processor"] in text
    for title in ("Inverting and editing", "Training", "Memory", "Growth"):
        assert f"## {title}" in text
    assert (keep / "images" / "performance.png").is_file()
    walked, trained = told["walk-ddpm-128"], told["train-avatars-64"]
    exact, naive = (
        walked["works"][name]["flops"] for name in ("editing", "editing, reference implementation")
    )
    assert 1.1 < naive / exact < 1.4  # 2 encoders and 4 decoders against 2 and 3
    assert walked["works"]["editing"]["share"]["least"] > 0
    assert trained["timesteps"] == 1
    assert 1 <= trained["flops_ratio"] < 1.15


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--only", "everything"], "unknown part 'everything'"),
        (["--baseline", "nowhere.py"], "does not exist"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], named: str
) -> None:
    line = ["--quick", "--keep", tmp_path, "--docs", tmp_path, "--baseline", NAIVE]
    assert bench_main(*line, *words) == 2
    assert named in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_bench_runs(tmp_path: Path) -> None:
    line = ["--quick", "--keep", tmp_path]
    assert bench_main(*line, "--baseline", NAIVE) == 0
    text = (tmp_path / "quick" / "performance.md").read_text()
    assert "## Speed against quality" in text
    assert "## Growth" in text
    assert "Beside the run before" not in text
    assert bench_main(*line, "--baseline", NAIVE, "--only", "memory-train") == 0
    assert "Beside the run before" in (tmp_path / "quick" / "performance.md").read_text()
