"""asyrp app: what can be said before torch is loaded, and the end of the server."""

import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO, cast

from asyrp.app.http_guard import is_local
from asyrp.errors import AsyrpError, need, printable
from asyrp.options.app import App

if TYPE_CHECKING:
    from asyrp.app.studio import Studio

SHORTEST = 12  # letters of a password


def begin(options: App) -> None:
    """Refuse what cannot work and say what comes, before anything is loaded."""
    check(options)
    check_port(options.host, options.port)
    say("loading the networks; the address follows")


def run(options: App) -> None:
    """Serve the page until it is interrupted."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    need("gradio", "app")
    from asyrp.app.prefix import check_root

    root = check_root(options.root_path)
    password = "" if is_alone(options) else password_of(os.environ)
    for number in (signal.SIGTERM, signal.SIGHUP):  # pictures of people go at any end
        signal.signal(number, _end)
    studio = new_studio(options)
    from asyrp.app.server import serving

    where = options.host, options.port, options.public_host, password, root
    with plain_output(), serving(studio, *where) as address:
        say(f"the page is at {address} (stop it with Ctrl-C)")
        if password:
            way = "through your proxy" if is_local(options.host) else "by this machine's address"
            say(f"others reach it {way}; any name and {told(password)}")
        threading.Event().wait()


def say(line: str) -> None:
    """One line to the user."""
    print(printable(line), file=sys.stderr, flush=True)


class Plain:
    """A stream of text that steers no terminal: Gradio prints what people send to it."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text as it is shown."""
        self._stream.write(printable(text))
        return len(text)


@contextmanager
def plain_output() -> Iterator[None]:
    """Have all that this process prints be plain."""
    with ExitStack() as streams:
        for stream, redirected in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if stream is not None:
                streams.enter_context(redirected(cast(TextIO, Plain(stream))))
        yield


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def new_studio(options: App) -> "Studio":
    """The networks and habits of a server; see `asyrp.commands.app_studio`."""
    from asyrp.commands.app_studio import studio_of

    return studio_of(options)


def is_alone(options: App) -> bool:
    """Whether nobody but this machine can reach the page."""
    return is_local(options.host) and not options.public_host


def password_of(environment: Mapping[str, str]) -> str:
    """The password that a page asks for which others can reach.

    Raises:
        AsyrpError: the one given is too short.
    """
    given = environment.get("ASYRP_PASSWORD")
    if given is None:
        return secrets.token_urlsafe(16)
    if len(given) < SHORTEST:
        raise AsyrpError(
            f"ASYRP_PASSWORD needs at least {SHORTEST} letters; got {len(given)}; choose a longer "
            "one, or leave it out and one is made up"
        )
    return given


def told(password: str) -> str:
    """What to say of a password: one that is made up, but none that was chosen."""
    chosen = "ASYRP_PASSWORD" in os.environ
    return "the password of ASYRP_PASSWORD let in" if chosen else f"the password {password} let in"


def check(options: App) -> None:
    """Refuse what cannot work before anything is loaded."""
    for name in ("people", "upload_megabytes", "upload_megapixels", "threads"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise AsyrpError(f"{name} must be above 0; got {value}")
    if options.directions.exists() and not options.directions.is_dir():
        raise AsyrpError(
            f"--directions needs a folder; {str(options.directions)!r} is a file; name another"
        )


def check_port(host: str, port: int) -> None:
    """Refuse a port that is taken, before the networks are loaded.

    Raises:
        AsyrpError: it is taken, or not ours.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except (OSError, OverflowError) as error:
        raise AsyrpError(
            f"needed a free port to listen on; {host}:{port} is taken or not ours; "
            "choose another with --port"
        ) from error
