"""Teams of real processes for tests: forked, joined by gloo on this machine."""

import multiprocessing
import os
import socket
import warnings
from collections.abc import Callable
from typing import Any

from asyrp.runtime.distributed import ProcessGroup, assemble

PATIENCE = 120.0  # seconds
Work = Callable[[ProcessGroup], Any]


def together(size: int, work: Work) -> list[Any]:
    """What `work` answers in each process, by rank; None where one died or failed."""
    context = multiprocessing.get_context("fork")
    port, pipes, processes = free_port(), [], []
    for rank in range(size):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_serve, args=(rank, size, port, work, theirs))
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    answers = [_answer(pipe) for pipe in pipes]
    for process in processes:
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
    return answers


def _answer(pipe: Any) -> Any:
    try:
        return pipe.recv() if pipe.poll(PATIENCE) else None
    except EOFError:
        return None


def _serve(rank: int, size: int, port: int, work: Work, pipe: Any) -> None:
    warnings.simplefilter("ignore")
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"LOCAL_WORLD_SIZE": str(size), "ACCELERATE_USE_CPU": "true"}
    try:
        pipe.send(work(assemble("cpu")))
    except Exception:  # of a team that lost a member
        pipe.close()
    os._exit(0)


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
