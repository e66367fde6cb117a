"""How a server ends, and that no picture of anybody is left wherever it does."""

import io
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from app_doubles import new_studio
from asyrp.commands import app as app_command
from asyrp.options import App
from leftovers import FORK

server = pytest.importorskip("asyrp.app.server", reason="needs Gradio: pip install 'asyrp[app]'")
httpx = pytest.importorskip("httpx")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def picture(width: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, 30), "green").save(buffer, "PNG")
    return buffer.getvalue()


CUT_OFF = """POST /gradio_api/upload HTTP/1.1
Host: 127.0.0.1:{port}
Content-Length: 9999
Content-Type: multipart/form-data; boundary=b

--b
Content-Disposition: form-data; name="files"; filename="a.png"

half a face"""


def served(folder: Path, port: int) -> None:
    """`asyrp app` with a tiny network, its temporary files in a folder."""
    tempfile.tempdir = str(folder)
    server.gradio.routes.DEFAULT_TEMP_DIR = str(folder / "gradio")  # as Gradio has it when imported
    app_command.new_studio = lambda options: new_studio(folder)  # type: ignore[attr-defined]
    app_command.run(App(port=port))


def wait_for(found: Callable[[], bool]) -> bool:
    end = time.monotonic() + 120
    while not found() and time.monotonic() < end:
        time.sleep(0.05)
    return found()


def answers(url: str) -> bool:
    try:
        return bool(httpx.get(url).is_success)
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_pictures_of_people_are_gone_at_any_end(tmp_path: Path, number: int) -> None:
    """Three uploads that have ended, and a fourth that was cut off."""
    port = free_port()
    process = FORK.Process(target=served, args=(tmp_path, port))
    process.start()
    try:
        url = f"http://127.0.0.1:{port}"
        assert wait_for(lambda: answers(url))
        with httpx.Client(base_url=url) as client:
            for index in range(3):
                files = {"files": ("a.png", picture(30 + index))}
                assert client.post("/gradio_api/upload", files=files).is_success
        with socket.create_connection(("127.0.0.1", port)) as link:
            link.sendall(CUT_OFF.format(port=port).replace("\n", "\r\n").encode())
            time.sleep(0.5)
        assert sum(path.is_file() and "own" not in path.parts for path in tmp_path.rglob("*")) > 4
        os.kill(process.pid or 0, number)
        process.join(30)
        assert process.exitcode not in (None, 0)
        assert wait_for(lambda: [path.name for path in tmp_path.iterdir()] == ["own"])
    finally:
        process.kill()
