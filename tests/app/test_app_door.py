"""What the server of the page lets in, and which options it refuses."""

import asyncio
import base64
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asyrp.app import http_guard as door
from asyrp.app.http_guard import LOCAL, Door, Rules, is_local
from asyrp.app.intake import FORM, SECONDS, TOGETHER, Intake, Refused, sweep_once, swept
from asyrp.commands.app import check, is_alone, password_of, run
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


HOST = b"127.0.0.1:7860"
SECRET = "a password of a page"
BEYOND = Rules(frozenset({*LOCAL, "faces.example"}), addresses=True)
ASKED = replace(BEYOND, password=SECRET)


def answer(
    path: str,
    host: bytes = HOST,
    rules: Rules | None = None,
    more: Sequence[tuple[bytes, bytes]] = (),
    **scope: Any,
) -> list[dict[str, Any]]:
    """What comes out of the door for a request, where the page behind it says 200."""
    sent: list[dict[str, Any]] = []
    allowing = [(b"access-control-allow-origin", b"*"), (b"Access-Control-Allow-Credentials", b"1")]

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": allowing})

    async def send(message: Any) -> None:
        sent.append(message)

    asked = {"type": "http", "path": path, "method": "GET", "headers": [(b"host", host), *more]}
    asyncio.run(Door(page, rules)(asked | scope, None, send))  # type: ignore[arg-type]
    for message in sent:
        assert not [k for k, _ in message.get("headers", ()) if k.lower().startswith(b"access-c")]
    return sent


def status(path: str, *given: Any, **more: Any) -> int:
    return int(answer(path, *given, **more)[0]["status"])


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


@pytest.mark.parametrize(
    ("host", "more", "wanted"),
    [
        (b"faces.example.org", [], "--public-host NAME"),
        (HOST, [(b"origin", b"https://faces.example.org")], "the Origin of a request must be its"),
        (HOST, [], "not here"),
    ],
)
def test_a_refusal_says_why(host: bytes, more: list[tuple[bytes, bytes]], wanted: str) -> None:
    first, second = answer("/secret", host, more=more)
    assert first["status"] == 404
    assert wanted in second["body"].decode()


def test_the_door_knows_its_own_names() -> None:
    for host in (b"localhost:7860", b"LocalHost", b"[::1]:7860", b"127.0.0.1"):
        assert status("/", host) == 200
    for host in (b"evil.example:7860", b"", b"192.168.0.7:7860", b"localhost.evil.example"):
        assert status("/", host) == 404
    assert answer("/", type="websocket")[0]["type"] == "websocket.close"


def test_beyond_this_machine_the_door_takes_addresses_and_the_names_that_were_given() -> None:
    for host in (b"192.168.0.7:7860", b"[fe80::1]:7860", b"faces.example", b"localhost:7860"):
        assert status("/", host, BEYOND) == 200
    for host in (b"evil.com", b"evil.com:7860", b"faces.example.evil.com", b"192.168.0.7.evil.com"):
        for path in ("/", "/config", "/gradio_api/queue/join"):
            assert status(path, host, BEYOND) == 404
    assert status("/", b"1.2.3.4", BEYOND, more=[(b"host", b"evil.com")]) == 404


@pytest.mark.parametrize(
    ("origin", "host", "wanted"),
    [
        (b"http://127.0.0.1:7860", HOST, 200),
        (b"http://127.0.0.1:9999", HOST, 404),  # another port of this machine
        (b"http://127.0.0.1", HOST, 404),
        (b"http://localhost:7860", HOST, 404),  # the same place by another name
        (b"http://[::1]:7860", HOST, 404),
        (b"http://[::1]:7860", b"[::1]:7860", 200),
        (b"HTTP://LOCALHOST:7860", b"localhost:7860", 200),
        (b"https://evil.example", HOST, 404),
        (b"http://localhost.evil.example:7860", HOST, 404),
        (b"http://127.0.0.1:7860@evil.example", HOST, 404),
        (b"file://", HOST, 404),
        (b"null", HOST, 404),
        (b"\xff", HOST, 404),
        (b"http://[", HOST, 404),
        (b"https://faces.example", b"faces.example", 200),  # behind a proxy
        (b"https://faces.example:443", b"faces.example", 200),
        (b"https://faces.example", b"faces.example:443", 200),
        (b"https://faces.example:8443", b"faces.example", 404),
        (b"http://evil.com", b"evil.com", 404),  # a name that was rebound
        (b"http://evil.com", b"192.168.0.7:7860", 404),
    ],
)
def test_only_the_page_itself_sends_to_the_page(origin: bytes, host: bytes, wanted: int) -> None:
    rules = Rules() if host == HOST else BEYOND
    for path in ("/", "/config", "/gradio_api/queue/data"):
        assert status(path, host, rules, more=[(b"origin", origin)]) == wanted
    twice = [(b"origin", b"http://" + host), (b"origin", origin)]
    assert status("/config", host, rules, more=twice) == 404


@pytest.mark.parametrize("site", [b"cross-site", b"same-site"])
def test_other_sites_cannot_embed_what_the_page_is_made_of(site: bytes) -> None:
    """A script, picture or form of another site tells no Origin when it asks with GET."""
    for mode in (b"no-cors", b"navigate"):
        more = [(b"sec-fetch-site", site), (b"sec-fetch-mode", mode)]
        assert status("/config", more=more) == 404
        assert status("/gradio_api/queue/data", more=more) == 404
        assert status("/", more=more) == (200 if mode == b"navigate" else 404)  # a link
    for own in (b"same-origin", b"none"):
        assert status("/config", more=[(b"sec-fetch-site", own)]) == 200


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
def test_a_preflight_gets_no_leave(method: str) -> None:
    more = [(b"origin", b"http://127.0.0.1:7860"), (b"access-control-request-method", b"POST")]
    assert status("/gradio_api/queue/join", method=method, more=more) == 404


def basic(text: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Basic " + base64.b64encode(text.encode()))]


def test_a_page_for_others_asks_for_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "FORGIVING", 0.0)
    for path in ("/", "/config", "/assets/index.js", "/gradio_api/queue/join"):
        assert status(path, rules=ASKED) == 401
        assert status(path, rules=ASKED, more=basic(f"anybody:{SECRET}")) == 200
    start = answer("/", rules=ASKED)[0]
    assert dict(start["headers"])[b"www-authenticate"].startswith(b"Basic")
    assert status("/gradio_api/startup-events", rules=ASKED) == 200
    wrong = ["", "a", SECRET, f"a:{SECRET} ", f"a:{SECRET[:-1]}", f"a:b:{SECRET}"]
    values = [b"Basic", b"Basic !!", b"Bearer " + SECRET.encode(), b"Basic \xff", b""]
    given = [*map(basic, wrong), *([(b"authorization", value)] for value in values)]
    given += [basic(f"a:{SECRET}") * 2]
    for more in given:
        assert status("/", rules=ASKED, more=more) == 401
    assert status("/", b"evil.com", ASKED, more=basic(f"a:{SECRET}")) == 404


def test_guesses_take_time_whoever_makes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten at once are answered one after the other."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        assert gate._wrong.locked()

    async def page(*_: Any) -> None:
        raise AssertionError

    async def nothing(*_: Any) -> None:
        return None

    gate = Door(page, ASKED)
    monkeypatch.setattr(door.asyncio, "sleep", sleep)
    asked = {"type": "http", "path": "/", "method": "GET", "headers": [(b"host", HOST)]}

    async def ten() -> None:
        await asyncio.gather(*(gate(dict(asked), nothing, nothing) for _ in range(10)))

    asyncio.run(ten())
    assert waited == [door.FORGIVING] * 10


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("[::1]", True), ("127.9.9.9", True),
     ("0.0.0.0", False), ("::", False), ("192.168.0.7", False), ("faces.example", False)],
)  # fmt: skip
def test_who_can_reach_a_host(host: str, alone: bool) -> None:
    assert is_local(host) == alone
    assert is_alone(App(host=host)) == alone
    assert not is_alone(App(host=host, public_host=("faces.example",)))


def test_a_password_is_made_up_or_long_enough() -> None:
    made = {password_of({}) for _ in range(3)}
    assert len(made) == 3
    assert min(map(len, made)) >= 20
    assert password_of({"ASYRP_PASSWORD": SECRET}) == SECRET
    for short in ("", "short"):
        with pytest.raises(AsyrpError, match="needs at least 12 letters"):
            password_of({"ASYRP_PASSWORD": short})


# what may come in


def admitted(intake: Intake, length: str | None, method: str = "POST", upload: bool = True) -> int:
    try:
        with intake.admitted(length, method, upload):
            return 200
    except Refused as error:
        return error.status


def test_a_request_has_a_size_and_a_bound(tmp_path: Path) -> None:
    intake = Intake(tmp_path, each=100_000)
    assert admitted(intake, "100000") == 200
    assert admitted(intake, str(100_000 + FORM)) == 200
    assert admitted(intake, str(100_001 + FORM)) == 413  # two files at a time, or one too large
    assert admitted(intake, "999999", upload=False) == 200
    assert admitted(intake, "1000001", upload=False) == 413
    for length in ("", None, "many", "-1", "+5", "\u0663"):
        assert admitted(intake, length) == 411
    assert admitted(intake, "", method="GET") == 200
    assert status("/gradio_api/upload", more=[(b"transfer-encoding", b"chunked")]) == 404


def test_all_uploads_together_have_a_bound(tmp_path: Path) -> None:
    intake = Intake(tmp_path, each=100_000)
    whole = 100_000 + FORM
    with ExitStack() as coming:
        for _ in range(TOGETHER):
            coming.enter_context(intake.admitted(str(whole), "POST", True))
        assert admitted(intake, str(whole)) == 503
        assert admitted(intake, "1000", upload=False) == 200
    assert admitted(intake, str(whole)) == 200
    (tmp_path / "a").mkdir()
    for i in range(TOGETHER):
        (tmp_path / "a" / f"{i}").write_bytes(bytes(whole))
    assert admitted(intake, "1") == 503
    (tmp_path / "a" / "0").unlink()
    assert admitted(intake, "1") == 200
    for i in range(100):  # of a byte each, which take a block each
        (tmp_path / f"{i}").write_bytes(b"x")
    assert admitted(intake, str(whole)) == 503


def test_an_upload_that_takes_too_long_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyrp.app.intake.SECONDS", 0.05)
    messages = [{"type": "http.request", "more_body": True}]

    async def slow() -> Any:
        if messages:
            return messages.pop()
        await asyncio.sleep(30)
        raise AssertionError

    async def both() -> list[Any]:
        receive = Intake().timed(slow)
        return [await receive(), await receive()]

    assert [message["type"] for message in asyncio.run(both())] == [
        "http.request",
        "http.disconnect",
    ]


def test_after_a_body_the_end_of_a_connection_may_take_hours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("asyrp.app.intake.SECONDS", 0.0)
    asked = []

    async def receive() -> Any:
        asked.append(1)
        return {"type": "http.request" if len(asked) == 1 else "http.disconnect"}

    async def both() -> list[Any]:
        timed = Intake().timed(receive)
        monkeypatch.setattr("asyrp.app.intake.asyncio.wait_for", lambda one, _: one)
        first = await timed()
        monkeypatch.setattr("asyrp.app.intake.asyncio.wait_for", None)
        return [first, await timed()]

    assert [m["type"] for m in asyncio.run(both())] == ["http.request", "http.disconnect"]


def test_whatever_was_uploaded_goes_after_two_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock of the machine's start: the file's own dates may lie in the future."""
    now, seen = [1000.0], dict[Path, float]()
    monkeypatch.setattr("asyrp.app.intake.time.monotonic", lambda: now[0])
    (tmp_path / "hash").mkdir()
    old, aborted = tmp_path / "hash" / "face.png", tmp_path / "tmpabc"
    for path in (old, aborted):
        path.write_bytes(b"face")
        os.utime(path, (2**33, 2**33))
    sweep_once(tmp_path, seen)
    now[0] += SECONDS - 1
    young = tmp_path / "young"
    young.write_bytes(b"face")
    sweep_once(tmp_path, seen)
    assert old.exists()
    now[0] += 1
    sweep_once(tmp_path, seen)
    assert list(tmp_path.iterdir()) == [young]
    young.unlink()
    sweep_once(tmp_path, seen)
    assert not seen


def test_the_sweeper_looks_by_itself_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyrp.app.intake.LOOKS", 0.01)
    monkeypatch.setattr("asyrp.app.intake.SECONDS", 0.02)
    folder = tmp_path / "uploads"
    with swept(folder):
        folder.mkdir()
        (folder / "a").write_bytes(b"face")
        for _ in range(500):
            if not (folder / "a").exists():
                break
            time.sleep(0.02)
        assert not (folder / "a").exists()
        (folder / "b").write_bytes(b"face")
    assert not folder.exists()


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


def test_what_people_send_steers_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Gradio prints the traceback of a wrong request with the paths that it names."""
    pytest.importorskip("gradio")

    @contextmanager
    def serving(*_: object) -> Iterator[str]:
        print("Cannot move \x1b[31mOWNED\x9b2J\r", file=sys.stderr)
        print("\x1b]0;OWNED\x07")
        raise SystemExit(0)
        yield ""

    monkeypatch.setattr("asyrp.app.server.serving", serving)
    monkeypatch.setattr("asyrp.commands.app.new_studio", lambda options: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit):
        run(App())
    said = capsys.readouterr()
    assert said.err == "Cannot move \\x1b[31mOWNED\\x9b2J\\r\n"
    assert said.out == "\\x1b]0;OWNED\\x07\n"
