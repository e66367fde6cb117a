"""Downloads that break off, and clocks that jump."""

import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from asyrp.runtime import download as fetch
from asyrp.storage.outputs import digest_of
from faults.running import (
    Fault,
    Place,
    eager_store,
    furnished,
    invert_of,
    refused,
    run,
    same,
    started,
    tensors_of,
    train_of,
    tree,
)

Answer = Callable[[bytes], bytes | None]


def head(*lines: str) -> bytes:
    """The beginning of an answer."""
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode()


ANSWERS: dict[str, Answer] = {
    "cut half-way": lambda b: head(f"Content-Length: {len(b)}") + b[: len(b) // 2],
    "cut after the header": lambda b: head(f"Content-Length: {len(b)}"),
    "cut within a chunk": lambda b: head("Transfer-Encoding: chunked") + b"10000\r\n" + b[:5000],
    "a length that is no number": lambda b: head("Content-Length: many") + b[:999],
    "a longer file": lambda b: head() + b + b"more",
    "another file": lambda b: head(f"Content-Length: {len(b)}") + bytes(len(b)),
    "no HTTP": lambda b: b"\x00\x01\x02\r\n\r\n",
    "a header without end": lambda b: b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000,
    "closed at once": lambda b: b"",
    "404": lambda b: b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "led to http": lambda b: b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
    "led to a file": lambda b: b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
    "led in a circle": lambda b: b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    "silence": lambda b: None,
}


@contextmanager
def serving(root: Path, answer: list[bytes | None]) -> Iterator[int]:
    """An https server that sends answer[0], whatever it is, and closes; gives its port."""
    certificate, key = root / "cert.pem", root / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"]
    words += ["/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", str(certificate)]
    subprocess.run([*words, "-keyout", str(key)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=_serve, args=(door, context, answer), daemon=True).start()
        yield door.getsockname()[1]


def _serve(door: socket.socket, context: ssl.SSLContext, answer: list[bytes | None]) -> None:
    while True:
        try:
            raw, _ = door.accept()
        except OSError:
            return
        with suppress(OSError), context.wrap_socket(raw, server_side=True) as link:
            link.recv(4096)
            if answer[0] is None:
                time.sleep(3)
            else:
                link.sendall(answer[0])
                link.unwrap()


def downloads(place: Place) -> Iterator[Fault]:
    """Every broken answer, and the good one after it."""
    content, answer = place.checkpoint.read_bytes(), list[bytes | None]([b""])
    cache, out = place.root / "cache", place.root / "downloaded"

    def prepare() -> None:
        os.environ |= {"ASYRP_CACHE": str(cache), "SSL_CERT_FILE": str(place.root / "cert.pem")}
        fetch.SECONDS = 4

    with serving(place.root, answer) as port:
        url = f"https://localhost:{port}/a.pt#sha256={digest_of(place.checkpoint)}"
        words = ["convert", url, "--out", out]
        for name, made in ANSWERS.items():
            begun, answer[0] = time.perf_counter(), made(content)
            faults = [refused(run(words, place.log(), prepare))]
            faults += ["something was kept"] if tree(cache) or tree(out) else []
            told, seconds = "exit 2 and one line; nothing was kept", time.perf_counter() - begun
            yield Fault(f"download: {name}", 1, told, tuple(filter(None, faults)), seconds)
        begun, answer[0] = time.perf_counter(), head(f"Content-Length: {len(content)}") + content
        done = run(words, place.log(), prepare)
        faults = [done.last[:150]] if done.code or not tree(out) else []
        told, seconds = "downloaded, checked and converted", time.perf_counter() - begun
        yield Fault("download: at last a whole one", 1, told, tuple(faults), seconds)


def clocks(place: Place) -> Iterator[Fault]:
    """Files from the past and the future, and a clock that jumps while a command runs."""
    whole, out = place.root / "w.safetensors", place.root / "c.safetensors"
    run(train_of(place, whole), place.log())
    kept = out.with_suffix(".checkpoint.safetensors")
    for name, years in (("the past", -30), ("the future", 60)):
        begun, moment = time.perf_counter(), time.time() + years * 365 * 86400
        process = started(train_of(place, out), place.log())
        while not kept.exists() and process.is_alive():
            time.sleep(0.01)
        process.kill()
        process.join()
        os.utime(kept, (moment, moment))
        done = run(train_of(place, out), place.log(), lambda years=years: _jump(years))
        good = done.code == 0 and same(tensors_of(out), tensors_of(whole))
        out.unlink(missing_ok=True)
        told, seconds = "training went on to the same direction", time.perf_counter() - begun
        faults = () if good else (done.last[:150],)
        yield Fault(f"checkpoint of {name}, clock moved", 1, told, faults, seconds)
        yield _old_store(place, name, years, moment)


def _old_store(place: Place, name: str, years: int, moment: float) -> Fault:
    begun, store = time.perf_counter(), place.root / f"store {name}"
    words = invert_of(place, place.root / "co", "--store", store)
    run([*words, "--images", place.faces / "00.png"], place.log(), eager_store)
    for path in store.iterdir():
        os.utime(path, (moment, moment))
    half = store / ".1.safetensors.new"  # somebody's, who may still be writing
    half.write_bytes(b"half")

    def prepare() -> None:
        eager_store()
        _jump(years)

    before = tree(store)
    done = run(words, place.log(), prepare)
    kept = all(tree(store).get(k) == v for k, v in before.items())
    good = done.code == 0 and kept and "11 of 12 images inverted" in done.said
    told, seconds = "old records found, new ones added", time.perf_counter() - begun
    return Fault(
        f"store of {name}, clock moved", 1, told, () if good else (done.last[:150],), seconds
    )


def _jump(years: int) -> None:
    """Every other question for the time is answered by a clock that is years off."""
    now, count = time.time, [0]

    def jumping() -> float:
        count[0] += 1
        return now() + (count[0] % 2) * years * 365 * 86400

    time.time = jumping


def cases(place: Place) -> Fault:
    """Two inputs whose names differ by case, on a disk to which they are one."""
    begun, faces, out = time.perf_counter(), place.root / "cases", place.root / "case out"
    faces.mkdir()
    for name in ("A.png", "a.png"):
        shutil.copy(place.faces / "00.png", faces / name)
    words = [*invert_of(place, out), "--images", faces]
    done = run(words, place.log(), _one_case)
    faults = [refused(done), "" if not tree(out) else "half of the results is there"]
    told = "exit 2 and one line; nothing was written"
    seconds = time.perf_counter() - begun
    return Fault("names that differ by case", 1, told, tuple(filter(None, faults)), seconds)


def _one_case() -> None:
    """A disk to which A and a are one, as far as writers look at it."""
    exists, replace = Path.exists, os.replace

    def same(path: Path) -> Path:
        beside = path.parent.iterdir() if path.parent.is_dir() else ()
        return next((one for one in beside if one.name.lower() == path.name.lower()), path)

    Path.exists = lambda self, **how: exists(same(self), **how)
    os.replace = lambda source, target: replace(source, same(Path(target)))


def every(root: Path) -> Iterator[Fault]:
    """All of them."""
    place = furnished(root)
    yield from downloads(place)
    yield from clocks(place)
    yield cases(place)
