"""What may come in and go out: it lets through what the page needs, and nothing else."""

import asyncio
import base64
import binascii
import hmac
import ipaddress
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from asyrp.app.intake import Intake, Refused

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOCAL = ("127.0.0.1", "localhost", "::1")
UPLOAD = re.compile(r"/gradio_api/upload/?")
# Asked for once by Gradio itself, without a password; it tells nothing and changes nothing.
STARTING = "/gradio_api/startup-events"
# Gradio also serves files, proxies addresses and keeps histories; the page needs none of it, for
# all its pictures and downloads travel inside the page.
OPEN = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt)/?"
    r"|/(assets|static|svelte)/[\w./@~-]+"
    r"|/gradio_api/(queue/join|queue/data|upload|upload_progress|cancel|reset|startup-events"
    r"|app_id|theme\.css|run/predict)/?"
    r"|/gradio_api/heartbeat/\w+"
)
POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}
NAMELESS = "not here under this name; whoever runs the page can give it one: --public-host NAME"
FOREIGN = "not here for another site: the Origin of a request must be its Host"
FORGIVING = 0.5  # seconds until another wrong password is answered, whoever sends it


@dataclass(frozen=True)
class Rules:
    """Who is let in.

    hosts: names by which the server may be called, against rebinding of DNS names. addresses:
    whether any IP address will do as well, which nobody can rebind. password: "" for none.
    """

    hosts: frozenset[str] = frozenset(LOCAL)
    addresses: bool = False
    password: str = ""


class Door:
    """ASGI middleware, outermost of all: 404 for all but the page's own requests.

    No answer allows another site anything (CORS), and no page of another site, port or scheme may
    send. A request says where it comes from by Origin, which must be the Host that it goes to, and
    by Sec-Fetch-Site; links from elsewhere may lead to the page itself.
    """

    def __init__(self, app: App, rules: Rules | None = None, intake: Intake | None = None):
        self.app, self.rules = app, rules or Rules()
        self.intake = intake or Intake()
        self._wrong = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http" or not self.lets_in(scope):
            await _refuse(scope, send, 404, self.why_not(scope))
        elif not self.knows(scope):
            async with self._wrong:
                await asyncio.sleep(FORGIVING)
            await _refuse(scope, send, 401, "a password is needed")
        else:
            await self._admitted(scope, receive, send)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        upload = UPLOAD.fullmatch(scope["path"]) is not None
        method = scope.get("method", "GET")
        try:
            with self.intake.admitted(_one(scope, b"content-length"), method, upload):
                timed = self.intake.timed(receive) if method == "POST" else receive
                await self.app(scope, timed, _with_headers(send))
        except Refused as error:
            await _refuse(scope, send, error.status, str(error))

    def lets_in(self, scope: Scope) -> bool:
        """Whether a request is one that the page makes."""
        path, host = scope["path"], _one(scope, b"host")
        wanted = scope.get("method", "GET") in ("GET", "HEAD", "POST") and ".." not in path
        chunked = _one(scope, b"transfer-encoding") != ""  # a body of unknown length
        named = host is not None and self._is_ours(_name(host))
        return wanted and not chunked and named and bool(OPEN.fullmatch(path)) and _at_home(scope)

    def why_not(self, scope: Scope) -> str:
        """What to tell whoever runs a proxy and passes on a name or a site of its own."""
        if not self._is_ours(_name(_one(scope, b"host") or "")):
            return NAMELESS
        return "not here" if _at_home(scope) else FOREIGN

    def _is_ours(self, name: str) -> bool:
        return name in self.rules.hosts or (self.rules.addresses and _is_address(name))

    def knows(self, scope: Scope) -> bool:
        """Whether a request has the password, if one is asked for."""
        if not self.rules.password or scope["path"] == STARTING:
            return True
        kind, _, code = (_one(scope, b"authorization") or "").partition(" ")
        try:
            told = base64.b64decode(code, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return False
        right = hmac.compare_digest(told, self.rules.password.encode())
        return kind.lower() == "basic" and right


def is_local(host: str) -> bool:
    """Whether only this machine can reach a server that listens on a host."""
    name = host.strip("[]")
    return name in LOCAL or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


def _is_address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _one(scope: Scope, name: bytes) -> str | None:
    """A header; "" where there is none, None where there are several."""
    found = [value for key, value in scope["headers"] if key.lower() == name]
    return None if len(found) > 1 else b"".join(found).decode("latin-1")


def _name(place: str) -> str:
    """The host of host:port."""
    return re.sub(r":\d+$", "", place).strip("[]").lower()


def _at_home(scope: Scope) -> bool:
    """Whether a request comes from the page itself, or opens it."""
    origin, site = _one(scope, b"origin"), _one(scope, b"sec-fetch-site")
    if origin != "":
        return origin is not None and _place_of(origin) == _place(_one(scope, b"host") or "")
    opens = _one(scope, b"sec-fetch-mode") == "navigate" and scope["path"] == "/"
    return site in ("", "same-origin", "none") or opens


def _place_of(origin: str) -> str:
    """host:port of an origin; "?" for one that does not tell."""
    try:
        parts = urlsplit(origin)
        return _place(parts.netloc, {"https": ":443", "http": ":80"}[parts.scheme])
    except (ValueError, KeyError):
        return "?"


def _place(text: str, usual: str = "") -> str:
    """host:port, without the port that goes without saying."""
    found = text.lower()
    return found.removesuffix(usual) if usual else re.sub(r":(80|443)$", "", found)


def _with_headers(send: Send) -> Send:
    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            others = ((k, v) for k, v in message["headers"] if k.lower() not in HEADERS)
            kept = [(k, v) for k, v in others if not k.lower().startswith(b"access-control-")]
            message = {**message, "headers": [*kept, *HEADERS.items()]}
        await send(message)

    return sent


async def _refuse(scope: Scope, send: Send, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain"), *HEADERS.items()]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="asyrp", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reason.encode()})
