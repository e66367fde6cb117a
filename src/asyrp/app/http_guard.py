"""What may come in and go out: it lets through what the page needs, and nothing else."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOCAL = ("127.0.0.1", "localhost", "::1")
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
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}


class Door:
    """ASGI middleware: 404 for all but the page's own addresses, and no calls to other sites.

    hosts: names by which the server may be called, against rebinding of DNS names, and whose pages
    may send to it; empty for any.
    """

    def __init__(self, app: App, hosts: frozenset[str] = frozenset()):
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or pass on one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http" or not self.lets_in(scope):
            await _refuse(scope, send)
        else:
            await self.app(scope, receive, _with_headers(send))

    def lets_in(self, scope: Scope) -> bool:
        """Whether a request is one that the page makes."""
        path, headers = scope["path"], dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").rsplit(":", 1)[0].strip("[]")
        names = [host, *([_site(headers[b"origin"])] if b"origin" in headers else [])]
        known = not self.hosts or self.hosts.issuperset(names)
        return known and ".." not in path and OPEN.fullmatch(path) is not None


def _site(origin: bytes) -> str:
    """The host of the site whose page sends a request; "" for one that does not tell."""
    try:
        return urlsplit(origin.decode("latin-1")).hostname or ""
    except ValueError:
        return ""


def _with_headers(send: Send) -> Send:
    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            kept = [(k, v) for k, v in message["headers"] if k.lower() not in HEADERS]
            message = {**message, "headers": [*kept, *HEADERS.items()]}
        await send(message)

    return sent


async def _refuse(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    plain = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 404, "headers": plain})
    await send({"type": "http.response.body", "body": b"not here"})
