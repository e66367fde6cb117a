"""A page under a path of somebody else's address, as behind a reverse proxy."""

from asyrp.app.http_guard import App, Receive, Scope, Send
from asyrp.errors import AsyrpError


class Prefix:
    """ASGI middleware, before the door: takes the public path off an address that still has it.

    root: as in "/faces"; "" for none. Some proxies take it off themselves.
    """

    def __init__(self, app: App, root: str = ""):
        self.app, self.root = app, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request."""
        path = scope.get("path", "")
        if self.root and (path == self.root or path.startswith(f"{self.root}/")):
            scope = {**scope, "path": path.removeprefix(self.root) or "/"}
        await self.app(scope, receive, send)


def check_root(root: str) -> str:
    """A public path as the page needs it, without a slash at its end.

    Raises:
        AsyrpError: it does not begin with one slash, or is no plain path.
    """
    plain = root.rstrip("/")
    parts = plain.split("/")[1:]
    usual = all(part and part.strip(".") and part.isprintable() for part in parts)
    if plain and (plain[0] != "/" or not usual or set(plain) & set("?#%\\ ")):
        raise AsyrpError(f"--root-path is a path such as /faces; got {root!r:.80}")
    return plain
