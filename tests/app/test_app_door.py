"""What the server of the page lets in, and which options it refuses."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from asyrp.app.http_guard import LOCAL, Door
from asyrp.commands.app import check
from asyrp.errors import AsyrpError
from asyrp.options import App

OWN = ["/", "/config", "/assets/index-BQ1.js", "/static/img/logo.svg", "/theme.css"]
OWN += ["/gradio_api/queue/join", "/gradio_api/heartbeat/abc123", "/gradio_api/upload"]
OTHER = [
    "/gradio_api/file=/etc/passwd",
    "/gradio_api/file/etc/passwd",
    "/file=/etc/passwd",
    "/gradio_api/proxy=http://example.org/",
    "/gradio_api/run-history/buckets",
    "/gradio_api/info",
    "/gradio_api/call/edit",
    "/gradio_api/run/edit",
    "/gradio_api/component_server",
    "/monitoring",
    "/docs",
    "/openapi.json",
    "/assets/../../secret",
    "/static//etc/passwd/..",
    "/assets/\n",
]


OWN_NAMES = (b"localhost:7860", b"[::1]:7860")


def answer(path: str, host: bytes = b"127.0.0.1:7860", **scope: Any) -> list[dict[str, Any]]:
    """What comes out of the door for a request, where the page behind it says 200."""
    sent: list[dict[str, Any]] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    asked = {"type": "http", "path": path, "headers": [(b"host", host)]} | scope
    asyncio.run(Door(page, frozenset(LOCAL))(asked, None, send))  # type: ignore[arg-type]
    return sent


@pytest.mark.parametrize("path", OWN)
def test_the_door_lets_the_page_through(path: str) -> None:
    (start,) = answer(path)
    assert start["status"] == 200
    policy = dict(start["headers"])[b"content-security-policy"].decode()
    assert "http" not in policy  # no other site, neither for scripts nor for fonts nor for calls
    assert policy.startswith("default-src 'self'")


@pytest.mark.parametrize("path", OTHER)
def test_the_door_is_shut_for_all_else(path: str) -> None:
    assert answer(path)[0]["status"] == 404


def test_the_door_knows_its_own_names() -> None:
    assert [answer("/", host)[0]["status"] for host in (b"localhost:7860", b"[::1]:7860")] == [
        200
    ] * 2
    assert answer("/", b"evil.example:7860")[0]["status"] == 404
    assert answer("/", type="websocket")[0]["type"] == "websocket.close"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (b"http://127.0.0.1:7860", 200),
        (b"http://[::1]:7860", 200),
        (b"https://evil.example", 404),
        (b"http://localhost.evil.example:7860", 404),
        (b"null", 404),
    ],
)
def test_other_sites_cannot_send_to_the_page(origin: bytes, status: int) -> None:
    headers = [(b"host", b"127.0.0.1:7860"), (b"origin", origin)]
    assert answer("/gradio_api/upload", headers=headers)[0]["status"] == status


def test_the_page_is_for_this_machine_alone_unless_told_otherwise() -> None:
    assert App().host == "127.0.0.1"


@pytest.mark.parametrize("change", [{"people": 0}, {"upload_megabytes": -1}, {"threads": 0}])
def test_options_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(AsyrpError, match=next(iter(change))):
        check(App(**change))


def test_a_file_is_no_folder_of_directions(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"")
    with pytest.raises(AsyrpError, match="needs a folder"):
        check(App(directions=file))
