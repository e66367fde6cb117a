"""Tables, stages and figures of results."""

import csv
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asyrp.errors import AsyrpError
from asyrp.reporting.figures import dots, heat, lines, new_figure
from asyrp.reporting.statistics import Estimate
from asyrp.reporting.tables import csv_text, markdown, percent
from asyrp.runtime.resumable import (
    Stage,
    identities,
    recorded,
    result_of,
    run_stages,
    runs_of,
    seconds_of,
)
from asyrp.storage.json_files import plain, write_json

ABOUT = Estimate(0.25, 0.2, 0.3125, 8, 0)


def test_markdown_has_a_column_a_key_and_dashes_for_nothing() -> None:
    text = markdown([{"a": "x|y", "b": ABOUT}, {"a": None, "b": 1.23456}])
    rows = [line.split(" | ") for line in text.splitlines()]
    assert rows[0] == ["| a", "b |"]
    assert rows[2] == [r"| x\|y", "0.250 [0.200, 0.312] |"]
    assert rows[3] == ["| –", "1.235 |"]
    assert percent(ABOUT) == "25 [20, 31]"


def test_csv_keeps_every_digit() -> None:
    value = 0.1 + 0.2
    rows = list(csv.DictReader(io.StringIO(csv_text([{"n": "a", "m": ABOUT}, {"n": value}]))))
    assert float(rows[0]["m low"]) == ABOUT.low
    assert int(rows[0]["m images"]) == 8
    assert float(rows[1]["n"]) == value


def test_json_of_arrays_estimates_and_nan(tmp_path: Path) -> None:
    write_json(
        tmp_path / "a.json", {"x": np.array([1.0, np.nan]), "e": [ABOUT], 3: np.float64(0.1)}
    )
    kept = json.loads((tmp_path / "a.json").read_text())
    assert kept == {"x": [1.0, None], "e": [ABOUT._asdict()], "3": 0.1}
    assert plain((1, 2)) == [1, 2]


class Count:
    """Work that notes how often it was done."""

    def __init__(self, mark: str, log: list[str]) -> None:
        self.mark, self.log = mark, log

    def __repr__(self) -> str:
        return self.mark

    def __call__(self, folder: Path) -> dict[str, str]:
        self.log.append(self.mark)
        return {"made": self.mark}


def chain(log: list[str], first: str = "a", last: str = "c") -> list[Stage]:
    return [
        Stage("one", Count(first, log)),
        Stage("two", Count("b", log), ("one",)),
        Stage("three", Count(last, log), ("two",)),
        Stage("alone", Count("d", log)),
    ]


def test_finished_stages_are_not_done_again(tmp_path: Path) -> None:
    log: list[str] = []
    assert [d.again for d in run_stages(chain(log), tmp_path)] == [True] * 4
    assert [d.again for d in run_stages(chain(log), tmp_path)] == [False] * 4
    assert log == ["a", "b", "c", "d"]
    assert result_of(tmp_path, "two") == {"made": "b"}
    assert seconds_of(tmp_path, "two") >= 0


def test_a_changed_stage_takes_those_that_need_it_with_it(tmp_path: Path) -> None:
    log: list[str] = []
    list(run_stages(chain(log), tmp_path))
    log.clear()
    list(run_stages(chain(log, first="A"), tmp_path))
    assert log == ["A", "b", "c"]
    log.clear()
    list(run_stages(chain(log, first="A", last="C"), tmp_path))
    assert log == ["C"]


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    log: list[str] = []
    steps = run_stages(chain(log), tmp_path)
    next(steps), next(steps)
    steps.close()
    list(run_stages(chain(log), tmp_path))
    assert log == ["a", "b", "c", "d"]
    (tmp_path / "two.json").write_text("{")
    list(run_stages(chain(log), tmp_path))
    assert log[4:] == ["b"]


def test_every_run_that_works_is_recorded(tmp_path: Path) -> None:
    log: list[str] = []
    assert runs_of(tmp_path) == []
    stopped = recorded(run_stages(chain(log), tmp_path), tmp_path)
    next(stopped), next(stopped)
    stopped.close()
    for _ in range(2):  # the second works nothing
        assert len(list(recorded(run_stages(chain(log), tmp_path), tmp_path))) == 4
    assert [run.stages for run in runs_of(tmp_path)] == [2, 2]
    assert all(run.seconds > 0 for run in runs_of(tmp_path))


def test_stages_out_of_order_are_refused(tmp_path: Path) -> None:
    log: list[str] = []
    with pytest.raises(AsyrpError, match="'three' needs two"):
        list(run_stages(chain(log)[2:], tmp_path))
    with pytest.raises(AsyrpError, match="a name of its own"):
        list(run_stages([*chain(log), *chain(log)], tmp_path))
    with pytest.raises(AsyrpError, match="not worked yet"):
        result_of(tmp_path, "two")


def test_identities_differ_by_name_work_and_needs() -> None:
    marks = identities(chain([]))
    assert len(set(marks.values())) == 4
    assert marks == identities(chain([]))


class Square:
    """Work that another process can do."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return str(self.number)

    def __call__(self, folder: Path) -> dict[str, int]:
        return {"square": self.number**2}


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    stages = [Stage(f"s{i}", Square(i), (f"s{i - 2}",) if i > 1 else ()) for i in range(6)]
    assert len(list(run_stages(stages, tmp_path, workers=2))) == 6
    assert [result_of(tmp_path, f"s{i}")["square"] for i in range(6)] == [0, 1, 4, 9, 16, 25]


def test_figures_show_the_numbers() -> None:
    figure, (left, right) = new_figure(3, 3, 2)
    lines(left, [0, 1], {"a": [ABOUT, ABOUT], "b": [0.0, 1.0]}, "x", "y")
    assert left.lines[0].get_ydata().tolist() == [0.25, 0.25]
    dots(right, ["p", "q"], {"s": [ABOUT, 0.5]}, "share")
    assert [label.get_text() for label in right.get_yticklabels()] == ["p", "q"]
    figure, (axes,) = new_figure()
    heat(axes, np.array([[0.5, np.nan]]), ["r"], ["c", "d"], "label")
    assert [text.get_text() for text in axes.texts] == ["0.5"]
    figure.canvas.draw()


@dataclass(frozen=True)
class Killed:
    """Work whose process is killed, as by a system without memory."""

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        os._exit(9)


def test_a_process_that_was_killed_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(AsyrpError, match="stage 'one' was killed.*--workers"):
        list(run_stages([Stage("one", Killed())], tmp_path, workers=2))
