"""A hostile website, open in a real browser that knows the page's password, and what it gets.

The site lies on another name, on another port of the same name, and on the page's own address
under a name that was rebound to it. The browser maps all names to this machine.
"""

import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from test_app_server import SECRET, free_port

from app_doubles import new_studio
from asyrp.app.http_guard import NAMELESS

api = pytest.importorskip(
    "playwright.sync_api", reason="needs Playwright: pip install 'asyrp[browser]'"
)
server = pytest.importorskip("asyrp.app.server", reason="needs Gradio: pip install 'asyrp[app]'")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium"),
    pytest.mark.filterwarnings("default"),
]
MAPPED = ("evil.example", "rebound.example", "faces.example")
PATIENCE = 120_000  # ms

# Each returns what the site has got of the page at `target`; "" is nothing.
ATTACKS = """
const json = {"data": [3], "fn_index": 0, "session_hash": "evil"};
const quick = promise => Promise.race([promise, new Promise(done => setTimeout(done, 4000, ""))]);
const tried = work => quick(work().catch(() => ""));
const file = new FormData();
file.append("files", new Blob(["a face"], {type: "image/png"}), "evil.png");
const loaded = (kind, path, ready) => new Promise(done => {
  const element = document.createElement(kind);
  element.onload = () => done(ready(element));
  element.onerror = () => done("");
  element[kind === "link" ? "href" : "src"] = target + path;
  if (kind === "link") element.rel = "stylesheet";
  document.body.append(element);
});
const inside = element => {
  try { return element.contentDocument.body.innerText } catch { return "" } };
window.attacks = {
  read: () => tried(async () => (await fetch(target + "/config", {credentials: "include"})).text()),
  read_page: () => tried(async () => (await fetch(target + "/", {credentials: "include"})).text()),
  send: () => tried(async () => (await fetch(target + "/gradio_api/queue/join", {method: "POST",
    credentials: "include", headers: {"content-type": "application/json"},
    body: JSON.stringify(json)})).text()),
  send_plainly: () => tried(async () => { await fetch(target + "/gradio_api/queue/join",
    {method: "POST", credentials: "include", mode: "no-cors", body: JSON.stringify(json)});
    return ""; }),
  upload: () => tried(async () => { await fetch(target + "/gradio_api/upload",
    {method: "POST", credentials: "include", mode: "no-cors", body: file}); return ""; }),
  beacon: () => tried(async () => {
    navigator.sendBeacon(target + "/gradio_api/queue/join", JSON.stringify(json)); return ""; }),
  listen: () => quick(new Promise(done => {
    const source = new EventSource(target + "/gradio_api/queue/data?session_hash=evil",
      {withCredentials: true});
    source.onopen = () => done("open"); source.onerror = () => done(""); })),
  socket: () => quick(new Promise(done => {
    const socket = new WebSocket(target.replace("http", "ws") + "/queue/join");
    socket.onopen = () => done("open"); socket.onerror = () => done(""); })),
  script: () => quick(loaded("script", "/assets/index.js", () => "loaded")),
  picture: () => quick(loaded("img", "/favicon.ico", one => one.width ? "loaded" : "")),
  style: () => quick(loaded("link", "/theme.css", one => "loaded")),
  frame: () => quick(loaded("iframe", "/", inside)),
  form: () => quick(new Promise(done => {
    const form = document.createElement("form");
    Object.assign(form, {method: "POST", action: target + "/gradio_api/queue/join", target: "other",
      enctype: "text/plain"});
    const frame = document.createElement("iframe"); frame.name = "other";
    frame.onload = () => setTimeout(() => done(inside(frame)), 300);
    form.innerHTML = `<input name='{"data": [3], "fn_index": 0, "session_hash": "evil", "x": "'`
      + ` value='"}'>`;
    document.body.append(frame, form); form.submit(); })),
  window: () => quick(new Promise(done => {
    const other = window.open(target + "/config");
    setTimeout(() => { try { done(other.document.body.innerText) } catch { done("") } }, 2000); })),
};
"""


class Seen(NamedTuple):
    """A request that the door let through."""

    path: str
    method: str
    origin: str
    site: str


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[Seen]:
    """What reaches Gradio, whoever asks."""
    found: list[Seen] = []
    stack = server.App.build_middleware_stack

    def watching(self: Any) -> Any:
        inner = stack(self)

        async def watched(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                told = {k: v.decode("latin-1") for k, v in scope["headers"]}
                origin, site = told.get(b"origin", ""), told.get(b"sec-fetch-site", "")
                found.append(Seen(scope["path"], scope["method"], origin, site))
            await inner(scope, receive, send)

        return watched

    monkeypatch.setattr(server.App, "build_middleware_stack", watching)
    return found


@contextmanager
def website() -> Iterator[int]:
    """A site of one page, the same under every name; gives its port."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = b"<!doctype html><title>evil</title><body>evil</body>"
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield site.server_address[1]
        site.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    rules = ",".join(f"MAP {name} 127.0.0.1" for name in MAPPED)
    words = ["--no-sandbox", f"--host-resolver-rules={rules}"]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=words)
        yield browser
        browser.close()


def got(page: Any, target: str) -> dict[str, str]:
    """What each attack from an open page brought, but for what brought nothing."""
    page.evaluate(f"target => {{ window.target = target; {ATTACKS} }}", target)
    names = page.evaluate("Object.keys(attacks)")
    assert len(names) == 14
    found = {name: page.evaluate(f"attacks.{name}()") for name in names}
    return {name: str(value)[:80] for name, value in found.items() if value}


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_hostile_website_gets_nothing(
    tmp_path: Path, browser: Any, passed: list[Seen], host: str
) -> None:
    studio, port = new_studio(tmp_path), free_port()
    beyond = {"public": ("faces.example",), "password": SECRET} if host == "0.0.0.0" else {}
    name = "faces.example" if beyond else "127.0.0.1"
    target = f"http://{name}:{port}"
    given = {"username": "a", "password": SECRET, "origin": target}
    with (
        server.serving(studio, host, port, **beyond),
        website() as other,
        browser.new_context(http_credentials=given) as context,
    ):
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(target)
        page.wait_for_selector("role=tab[name='Train']")  # the person is in
        own = json.loads(page.evaluate("fetch('/config').then(answer => answer.text())"))
        assert own["title"] == "asyrp"
        for _ in range(PATIENCE // 100):
            if len(studio.sessions):  # the person's own
                break
            page.wait_for_timeout(100)
        page.goto("about:blank")
        page.wait_for_timeout(3000)  # what the page has asked for has ended
        studio.sessions._open.clear()
        passed.clear()
        for site in (f"http://evil.example:{other}", f"http://{name}:{other}", "data:text/html,x"):
            page.goto(site)
            assert got(page, target) == {}, site
        for rebound in (f"http://rebound.example:{port}/", f"http://evil.example:{port}/"):
            answer = page.goto(rebound)
            assert answer.status == 404
            assert set(got(page, rebound.rstrip("/")).values()) <= {NAMELESS[:80]}, rebound
        foreign = [s for s in passed if s.origin or s.site not in ("same-origin", "none", "")]
        assert {(s.path, s.method) for s in foreign} <= {("/", "GET")}  # as a link leads to it
        assert not len(studio.sessions)
        assert not list(tmp_path.rglob("*evil*"))


def test_the_person_still_can_do_all(tmp_path: Path, browser: Any) -> None:
    """With the password, by a name that was given: faces are there and one is edited."""
    studio, port = new_studio(tmp_path), free_port()
    given = {"username": "a", "password": SECRET}
    with server.serving(studio, "0.0.0.0", port, ("faces.example",), SECRET):
        with browser.new_context() as stranger, pytest.raises(api.Error, match="CREDENTIALS"):
            stranger.new_page().goto(f"http://faces.example:{port}")
        with browser.new_context(http_credentials=given) as context:
            page = context.new_page()
            page.set_default_timeout(PATIENCE)
            page.goto(f"http://faces.example:{port}")
            page.get_by_role("button", name="Draw random faces").click()
            page.locator("button[data-face='0']").click()
            page.locator("#edit-message", has_text="Reconstruction error").wait_for()
            page.set_input_files("input[type=file]", upload(tmp_path))
            page.locator("figcaption", has_text="face.png").first.wait_for()


def upload(folder: Path) -> Path:
    from PIL import Image

    Image.new("RGB", (30, 30), "red").save(folder / "face.png")
    return folder / "face.png"
