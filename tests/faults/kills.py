"""SIGKILL at random moments: what was running continues, and ends as if nothing had happened."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from asyrp.errors import AsyrpError
from asyrp.method.latent_cache import latents_from
from asyrp.storage.record_store import RecordStore
from faults.running import (
    Fault,
    Place,
    convert_of,
    eager_store,
    edit_of,
    furnished,
    hidden,
    invert_of,
    nothing,
    outcome,
    run,
    same,
    started,
    tensors_of,
    train_of,
    tree,
)


class Rounds(NamedTuple):
    """What came of many kills."""

    kills: int
    finished: int
    faults: list[str]
    lost: float


def rounds(
    argv: Sequence[object],
    place: Place,
    kills: int,
    whole: float,
    judge: Callable[[bool], str],
    prepare: Callable[[], None] = nothing,
    checkpoint: Path | None = None,
) -> Rounds:
    """Start, kill, start again, until so many kills found the command at work.

    Args:
        whole: seconds of an unbroken run.
        judge: looks at what is there (finished or not); "" for good.
        checkpoint: whose age at a kill is the work that is lost.
    """
    rng, faults, killed, finished, lost = random.Random(str(argv[0])), list[str](), 0, 0, 0.0
    while killed < kills or not finished:
        process, begun = started(argv, place.log(), prepare), time.time()
        process.join(rng.uniform(0.02, 0.9 * whole) if killed < kills else 120)
        alive = process.is_alive()
        process.kill()
        process.join()
        if alive and killed >= kills:
            return Rounds(killed, finished, [*faults, "it hangs"], lost)
        if alive:
            killed += 1
            kept = checkpoint.stat().st_mtime if checkpoint and checkpoint.exists() else begun
            lost = max(lost, time.time() - max(begun, kept))
        elif process.exitcode:
            faults.append(outcome(process.exitcode, place.log(), 0).last[:200])
            if len(faults) > 5:
                break
        finished += not alive
        faults += filter(None, [_judged(judge, not alive)])
    return Rounds(killed, finished, faults, lost)


def _judged(judge: Callable[[bool], str], finished: bool) -> str:
    try:
        return judge(finished)
    except AsyrpError as error:  # what a kill left cannot be read
        return str(error)


def row(what: str, found: Rounds, begun: float, more: str = "") -> Fault:
    """A line of the report."""
    told = f"{found.finished} runs ended, each with the result of the unbroken one{more}"
    return Fault(what, found.kills, told, tuple(found.faults), time.perf_counter() - begun)


def train_kills(place: Place, kills: int) -> Fault:
    """Of `asyrp train`."""
    begun, whole, out = (
        time.perf_counter(),
        place.root / "w.safetensors",
        place.root / "k.safetensors",
    )
    done = run(train_of(place, whole), place.log())
    if done.code:
        return Fault("SIGKILL of train", 0, "", (done.last,), 0)
    wanted, kept = tensors_of(whole), out.with_suffix(".checkpoint.safetensors")

    def judge(finished: bool) -> str:
        if not finished:
            return "" if not out.exists() else "a direction before the end"
        found = same(tensors_of(out), wanted)
        out.unlink()
        return "" if found and not kept.exists() else "another direction than the unbroken run's"

    found = rounds(train_of(place, out), place, kills, done.seconds, judge, checkpoint=kept)
    more = f", bit for bit; at most {found.lost:.1f} s of work lost"
    if found.lost > 30:
        found.faults.append(f"{found.lost:.0f} s of work lost")
    return row("SIGKILL of `asyrp train`", found, begun, more)


def real_kills(place: Place, kills: int) -> Fault:
    """The same with processes that begin from nothing, as a shell starts them."""
    begun, whole, out = (
        time.perf_counter(),
        place.root / "w.safetensors",
        place.root / "r.safetensors",
    )
    words = [sys.executable, "-m", "asyrp", *map(str, train_of(place, out))]
    wanted, rng, faults = tensors_of(whole), random.Random(7), list[str]()
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}  # as `whole` was made; threads move last bits
    for count in range(kills + 1):
        with place.log().open("w") as log:
            process = subprocess.Popen(words, stdout=log, stderr=log, env=alone)
            _wait_for_work(process, out)
            if count < kills:
                time.sleep(rng.uniform(0, 1.0))
                process.kill()
            if process.wait(120) > 0:
                faults.append(outcome(process.returncode, place.log(), 0).last[:200])
    if not out.exists() or not same(tensors_of(out), wanted):
        faults.append("another direction than the unbroken run's")
    told = "the last run ended with the direction of the unbroken one, bit for bit"
    seconds = time.perf_counter() - begun
    return Fault("SIGKILL of `python -m asyrp train`", kills, told, tuple(faults), seconds)


def _wait_for_work(process: "subprocess.Popen[bytes]", out: Path) -> None:
    """Until it has written a checkpoint of its own, or is done."""
    kept = out.with_suffix(".checkpoint.safetensors")
    before = kept.stat().st_mtime_ns if kept.exists() else 0
    while process.poll() is None and (not kept.exists() or kept.stat().st_mtime_ns == before):
        time.sleep(0.02)


def store_kills(place: Place, kills: int) -> Fault:
    """Of `asyrp invert --store`."""
    begun, root = time.perf_counter(), place.root
    done = run(invert_of(place, root / "wo", "--store", root / "ws"), place.log(), eager_store)
    if done.code:
        return Fault("SIGKILL of invert", 0, "", (done.last,), 0)
    keys = list(json.loads((root / "wo" / "run.json").read_text())["keys"].values())
    wanted, out, store = latents_from(RecordStore(root / "ws"), keys), root / "ko", root / "ks"

    def judge(finished: bool) -> str:
        kept = RecordStore(store) if store.exists() else None  # raises at a damaged shard
        found = [key for key in keys if kept and key in kept]
        if (
            kept
            and found
            and not latents_from(kept, found).equal(wanted[[keys.index(key) for key in found]])
        ):
            return "latents other than the unbroken run's"
        if not finished:
            return "half of a folder" if 0 < len(tree(out)) < len(tree(root / "wo")) else ""
        whole = len(found) == len(keys) and tree(out).keys() == tree(root / "wo").keys()
        shutil.rmtree(store)
        shutil.rmtree(out)
        return "" if whole else "something is missing"

    words = invert_of(place, out, "--store", store)
    found = rounds(words, place, kills, done.seconds, judge, eager_store)
    return row("SIGKILL of `asyrp invert --store`", found, begun, "; every shard whole")


def folder_kills(
    place: Place, name: str, words: Callable[[Path], Sequence[object]], kills: int
) -> Fault:
    """Of a command that writes a folder: it is all there or not at all."""
    begun, out = time.perf_counter(), place.root / f"out-{name}"
    done = run(words(place.root / f"whole-{name}"), place.log())
    if done.code:
        return Fault(f"SIGKILL of {name}", 0, "", (done.last,), 0)
    wanted = tree(place.root / f"whole-{name}")

    def judge(finished: bool) -> str:
        found = tree(out)
        if not finished:
            return "half of a folder" if found and found.keys() != wanted.keys() else ""
        shutil.rmtree(out)
        good = all(found.get(k) == v for k, v in wanted.items() if not k.endswith("run.json"))
        return "" if good and found.keys() == wanted.keys() else "another folder"

    found = rounds(words(out), place, kills, done.seconds, judge)
    return row(f"SIGKILL of `asyrp {name}`", found, begun, "; its folder whole or absent")


def every(root: Path, kills: int, real: int) -> Iterator[Fault]:
    """All of them."""
    place = furnished(root)
    yield train_kills(place, kills)
    if real:
        yield real_kills(place, real)
    yield store_kills(place, kills)
    direction = place.root / "w.safetensors"
    few = max(3, kills // 2)
    yield folder_kills(place, "edit", lambda out: edit_of(place, direction, out), few)
    yield folder_kills(place, "convert", lambda out: convert_of(place, out), few)
    left = hidden(place.root)
    yield Fault(
        "hidden files left by the killed", left, "removed by the next writer after a day", (), 0
    )
