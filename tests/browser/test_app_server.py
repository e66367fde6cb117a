"""The server as somebody without a browser meets it, who wants more than the page offers."""

import gc
import io
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app_doubles import new_studio
from asyrp.app.sessions import SLOTS
from asyrp.app.studio import Studio
from asyrp.errors import AsyrpError

server = pytest.importorskip("asyrp.app.server", reason="needs Gradio: pip install 'asyrp[app]'")
httpx = pytest.importorskip("httpx")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
SECRET = "the secret of this machine"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("server")
    (made / "secret.txt").write_text(SECRET)
    Image.new("RGB", (20, 20), "red").save(made / "secret.png")
    return made


@pytest.fixture(scope="module")
def studio(folder: Path) -> Studio:
    return new_studio(folder)


@pytest.fixture(scope="module")
def client(studio: Studio) -> Iterator[Any]:
    with (
        server.serving(studio, "127.0.0.1", free_port()) as address,
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        yield client


def call(client: Any, name: str, data: list[Any], session: str = "ann", **how: Any) -> str:
    """What the server streams back for an event of the page."""
    config = client.get("/config", **how).json()
    number = next(d["id"] for d in config["dependencies"] if d["api_name"] == name)
    body = {"data": data, "fn_index": number, "session_hash": session}
    client.post("/gradio_api/queue/join", json=body, **how).raise_for_status()
    parts = []
    with client.stream("GET", f"/gradio_api/queue/data?session_hash={session}", **how) as stream:
        for line in stream.iter_lines():
            parts.append(line)
            if "process_completed" in line or "close_stream" in line:
                break
    return "\n".join(parts)


def picture(size: tuple[int, int] = (30, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "green").save(buffer, "PNG")
    return buffer.getvalue()


def sent(client: Any, content: bytes, name: str = "a.png") -> str:
    answer = client.post("/gradio_api/upload", files={"files": (name, content)})
    answer.raise_for_status()
    return str(answer.json()[0])


def test_files_of_the_server_cannot_be_read_by_address(client: Any, folder: Path) -> None:
    secret = folder / "secret.txt"
    up = "../" * 12
    for path in (
        f"/gradio_api/file={secret}",
        f"/gradio_api/file/{secret}",
        f"/gradio_api/file=%2e%2e/{secret}",
        f"/file={secret}",
        f"/static/{up}{secret}",
        f"/static/..%2f..%2f..%2f..%2f..%2f..%2f..%2f..{secret}",
        f"/assets/{secret}",
        f"/assets//{secret}",
        f"/theme.css/../{secret}",
        f"/gradio_api/proxy=file://{secret}",
        f"/custom_component/a/client/component/{secret}",
    ):
        answer = client.get(path)
        assert answer.status_code in (404, 403, 400), path
        assert SECRET not in answer.text, path


def test_an_upload_is_not_served_either(client: Any) -> None:
    assert client.get(f"/gradio_api/file={sent(client, picture())}").status_code == 404


@pytest.mark.parametrize("name", ["secret.txt", "secret.png", "http://127.0.0.1:1/a.png"])
def test_events_that_name_files_of_the_server_get_nothing(
    client: Any, folder: Path, studio: Studio, name: str
) -> None:
    path = name if "://" in name else str(folder / name)
    file = {"path": path, "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}}
    answer = call(client, "upload", [file], "mallory")
    assert SECRET not in answer
    assert "data:image" not in answer
    assert studio.sessions.get("mallory").work is None


def test_an_upload_through_the_server_is_opened(client: Any, studio: Studio) -> None:
    path = sent(client, picture(), "../../up.png")
    file = {"path": path, "orig_name": "up.png", "meta": {"_type": "gradio.FileData"}}
    call(client, "upload", [file], "carol")
    work = studio.sessions.get("carol").work
    assert work is not None
    assert (work.picture.name, work.picture.image.shape) == ("up.png", (3, 16, 16))


def test_an_upload_that_is_too_large_is_cut_off(client: Any, studio: Studio) -> None:
    content = bytes(studio.habits.limits.size + 1000)
    answer = client.post("/gradio_api/upload", files={"files": ("a.png", content)})
    assert answer.status_code == 413


def test_events_with_strange_values_do_no_harm(client: Any, studio: Studio) -> None:
    for session, name, data in (
        ("eve1", "choose", [["own: odd", "../../etc/passwd", 3]]),
        ("eve2", "edit", [None] * 11),
        ("eve3", "start", ["<b>", {"a": 1}, "8", None, 1e99, "x"]),
    ):
        answer = call(client, name, data, session)
        assert "Traceback" not in answer
        assert "/src/asyrp" not in answer
    assert studio.sessions.get("eve1").slots.count(None) == len(studio.sessions.get("eve1").slots)


def test_the_server_is_not_called_by_other_names(client: Any) -> None:
    assert client.get("/", headers={"host": "evil.example"}).status_code == 404
    answer = client.get("/")
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_the_page_itself_fetches_nothing_from_other_sites(client: Any) -> None:
    page = client.get("/").text
    assert re.findall(r"""(?:src|href)=["']?(?:https?:)?//[^"'>]*""", page) == []
    assert json.loads(client.get("/config").text)["analytics_enabled"] is False


def test_a_tab_that_edits_for_long_keeps_no_more_components(client: Any) -> None:
    """Gradio makes components anew at every update; it must not keep them all."""
    upload = {"path": sent(client, picture()), "meta": {"_type": "gradio.FileData"}}
    call(client, "upload", [upload], "grown")
    holders = (o for o in gc.get_objects() if type(o).__name__ == "StateHolder")
    (holder,) = (one for one in holders if "grown" in one.session_data)
    values, sizes = [1.0] * SLOTS + [800, 400, 100, True, 0], []
    for _ in range(4):
        call(client, "choose", [["own: strange"]], "grown")
        call(client, "edit", values, "grown")
        sizes.append(len(holder.session_data["grown"].blocks_config.blocks))
    assert len(set(sizes[1:])) == 1


EVIL = {"origin": "https://evil.example"}


def test_a_preflight_from_another_site_gets_nothing(client: Any) -> None:
    """Gradio's own middleware would allow it before any other is asked."""
    asked = {"access-control-request-method": "POST"}
    for origin in (*EVIL.values(), "http://localhost:1", str(client.base_url).rstrip("/")):
        answer = client.options("/gradio_api/queue/join", headers={"origin": origin, **asked})
        assert answer.status_code == 404
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    for path in ("/", "/config", "/gradio_api/queue/join"):
        assert client.get(path, headers=EVIL).status_code == 404
    own = {"origin": str(client.base_url).rstrip("/")}
    assert not [n for n in client.get("/config", headers=own).headers if n.startswith("access-")]


def test_twelve_files_at_a_time_are_too_many(client: Any, studio: Studio) -> None:
    content = bytes(studio.habits.limits.size - 100)
    files = [("files", (f"{i}.png", content)) for i in range(12)]
    assert client.post("/gradio_api/upload", files=files).status_code == 413
    endless = (bytes(1000) for _ in range(3))  # of a length that is not told
    assert client.post("/gradio_api/upload", content=endless).status_code == 404
    assert client.post("/gradio_api/queue/join", content=bytes(2_000_000)).status_code == 413


@pytest.fixture
def others(studio: Studio) -> Iterator[Any]:
    with (
        server.serving(studio, "0.0.0.0", free_port(), ("faces.example",), SECRET) as address,
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        yield client


def test_beyond_this_machine_nobody_gets_in_without_the_password(others: Any) -> None:
    for path in ("/", "/config", "/gradio_api/queue/join", "/theme.css"):
        for host in ("evil.com", "evil.com:7860"):
            assert others.get(path, headers={"host": host}).status_code == 404
        assert others.get(path, headers=EVIL).status_code == 404
    assert others.get("/config").status_code == 401
    assert others.get("/config", auth=("a", "wrong")).status_code == 401
    for host in ("faces.example", "192.168.0.7:7860", others.base_url.netloc.decode()):
        answer = others.get("/config", auth=("a", SECRET), headers={"host": host})
        assert answer.status_code == 200
    assert others.get("/config", auth=("a", SECRET), headers=EVIL).status_code == 404
    assert "process_completed" in call(others, "draw", [3], "guest", auth=("a", SECRET))


def test_no_page_for_others_without_a_password(studio: Studio) -> None:
    for host, public in (("0.0.0.0", ()), ("127.0.0.1", ("faces.example",))):
        with (
            pytest.raises(AsyrpError, match="needed a password"),
            server.serving(studio, host, free_port(), public),
        ):
            pass


def test_a_port_that_is_taken_is_told_in_a_line(client: Any, studio: Studio) -> None:
    port = int(client.base_url.port)
    with (
        pytest.raises(AsyrpError, match="choose another with --port"),
        server.serving(studio, "127.0.0.1", port),
    ):
        pass
