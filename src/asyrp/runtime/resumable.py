"""Long work in stages: each writes one JSON file, and is not done again while that file fits."""

import hashlib
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

from asyrp.errors import AsyrpError
from asyrp.runtime.cpu import set_up_torch
from asyrp.storage.files import read_object
from asyrp.storage.json_files import write_json

Work = Callable[[Path], Mapping[str, Any]]
"""What a stage does in the folder of the run; its repr says all that its result depends on."""


class Stage(NamedTuple):
    """A piece of work that needs the results of others."""

    name: str
    work: Work
    needs: tuple[str, ...] = ()


class Done(NamedTuple):
    """A stage that has a result. again: whether it was worked now rather than read."""

    name: str
    seconds: float
    again: bool


class Run(NamedTuple):
    """What one run has worked. seconds: from its start to its last stage, by the wall clock."""

    stages: int
    seconds: float


def run_stages(stages: Sequence[Stage], folder: Path, workers: int = 1) -> Iterator[Done]:
    """Work what has no fitting result yet, by one process or several of one thread each."""
    marks = identities(stages)
    folder.mkdir(parents=True, exist_ok=True)
    waiting = unworked(stages, folder)
    for stage in stages:
        if stage not in waiting:
            yield Done(stage.name, float(_read(folder, stage.name)["seconds"]), False)
    if workers > 1:
        yield from _together(waiting, folder, marks, workers)
        return
    for stage in waiting:
        yield _worked(stage, folder, marks[stage.name])


def unworked(stages: Sequence[Stage], folder: Path) -> list[Stage]:
    """Those without a fitting result."""
    marks = identities(stages)
    return [one for one in stages if _read(folder, one.name).get("identity") != marks[one.name]]


def result_of(folder: Path, name: str) -> dict[str, Any]:
    """The result of a stage; AsyrpError where it was not worked yet."""
    kept = _read(folder, name)
    if "result" not in kept:
        raise AsyrpError(f"needed the stage {name!r} in {str(folder)!r}; it was not worked yet")
    return cast(dict[str, Any], kept["result"])


def seconds_of(folder: Path, name: str) -> float:
    """What a stage took."""
    return float(_read(folder, name).get("seconds", 0.0))


def recorded(done: Iterable[Done], folder: Path) -> Iterator[Done]:
    """Pass stages on, and keep in runs.json what each run of a folder has worked so far."""
    before, started, worked = runs_of(folder), time.perf_counter(), 0
    for one in done:
        if one.again:
            worked += 1
            runs = [*before, Run(worked, time.perf_counter() - started)]
            write_json(folder / "runs.json", {"runs": [run._asdict() for run in runs]})
        yield one


def runs_of(folder: Path) -> list[Run]:
    """The runs that worked a folder's stages, oldest first."""
    return [Run(**one) for one in _read(folder, "runs").get("runs", [])]


def identities(stages: Sequence[Stage]) -> dict[str, str]:
    """A mark for each stage that changes with its work and with everything it needs."""
    marks: dict[str, str] = {}
    for stage in stages:
        missing = [need for need in stage.needs if need not in marks]
        if missing or stage.name in marks:
            raise AsyrpError(
                f"the stage {stage.name!r} needs {', '.join(missing) or 'a name of its own'} "
                "before it"
            )
        told = [stage.name, repr(stage.work), *(marks[need] for need in stage.needs)]
        marks[stage.name] = hashlib.sha256("\n".join(told).encode()).hexdigest()
    return marks


def _together(
    stages: Sequence[Stage], folder: Path, marks: Mapping[str, str], workers: int
) -> Iterator[Done]:
    left = list(stages)
    running: dict[Future[Done], Stage] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _one_thread) as pool:
        try:
            while left or running:
                unfinished = {stage.name for stage in (*left, *running.values())}
                ready = [s for s in left if not unfinished & set(s.needs)]
                for stage in ready[: max(0, workers - len(running))]:
                    left.remove(stage)
                    running[pool.submit(_worked, stage, folder, marks[stage.name])] = stage
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield _result(future, running.pop(future))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _result(future: Future[Done], stage: Stage) -> Done:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise AsyrpError(
            f"a process that worked the stage {stage.name!r} was killed, most likely for lack of "
            "memory; run the same command again with fewer --workers"
        ) from error


def _one_thread() -> None:
    torch.set_num_threads(1)
    set_up_torch()


def _worked(stage: Stage, folder: Path, mark: str) -> Done:
    started = time.perf_counter()
    result = stage.work(folder)
    seconds = time.perf_counter() - started
    content = {"identity": mark, "seconds": seconds, "result": result}
    write_json(folder / f"{stage.name}.json", content)
    return Done(stage.name, seconds, True)


def _read(folder: Path, name: str) -> dict[str, Any]:
    path = folder / f"{name}.json"
    try:
        return read_object(path)
    except AsyrpError:
        return {}
