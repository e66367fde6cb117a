"""The server of the page."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr
import gradio.routes
from gradio.routes import App, ORJSONResponse

from asyrp.app.http_guard import LOCAL, Door, Rules, is_local
from asyrp.app.intake import Intake, swept
from asyrp.app.page import build
from asyrp.app.prefix import Prefix
from asyrp.app.studio import Studio
from asyrp.errors import AsyrpError
from asyrp.storage.unfinished import unfinished

TABS = 100  # whose components Gradio keeps; a tab that comes back after more begins anew
# A process that ends when its input does, which is when the server has ended, however it did.
WATCH = "import shutil, sys; sys.stdin.read(); shutil.rmtree(sys.argv[1], ignore_errors=True)"


def theme() -> gr.Theme:
    """Colours and fonts; fonts of the reader's machine, so that none are fetched."""
    fonts = ["system-ui", "sans-serif"]
    mono = ["ui-monospace", "monospace"]
    made = gr.themes.Default(primary_hue="blue", neutral_hue="slate", font=fonts, font_mono=mono)
    grey = {"body_text_color_subdued": "*neutral_600", "block_info_text_color": "*neutral_600"}
    grey |= {"block_label_text_color": "*neutral_700", "input_placeholder_color": "*neutral_600"}
    return made.set(
        **grey,
        **{f"{name}_dark": "*neutral_300" for name in grey},
        color_accent="*primary_700",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_cancel_background_fill="#b91c1c",
        button_cancel_background_fill_hover="#991b1b",
        slider_color="*primary_700",
    )


def text(name: str) -> str:
    """A file beside this one."""
    return files("asyrp.app").joinpath(name).read_text(encoding="utf-8")


def rules_for(host: str, public: Sequence[str] = (), password: str = "") -> Rules:
    """Who is let in by a server that listens on a host.

    Args:
        public: names by which others reach it, such as that of a proxy.

    Raises:
        AsyrpError: others can reach it, and there is no password.
    """
    beyond = bool(public) or not is_local(host)
    if beyond and not password:
        raise AsyrpError("needed a password for a page that others can reach; got none")
    names = frozenset(name.lower() for name in (*LOCAL, host, *public))
    return Rules(names, addresses=beyond, password=password if beyond else "")


@contextmanager
def serving(
    studio: Studio,
    host: str,
    port: int,
    public: Sequence[str] = (),
    password: str = "",
    root_path: str = "",
) -> Iterator[str]:
    """Serve the page; gives its address. Uploads go to a folder that is removed at the end.

    Args:
        root_path: where a proxy has the page, as in "/faces".

    Raises:
        AsyrpError: the port is taken, or see `rules_for`.
    """
    rules = rules_for(host, public, password)
    before = os.environ.get("GRADIO_TEMP_DIR"), gradio.routes.DEFAULT_TEMP_DIR
    with unfinished(Path(tempfile.gettempdir()), stale=0.0) as place, _gone_with_us(place):
        uploads = place / "uploads"
        os.environ["GRADIO_TEMP_DIR"] = str(uploads)
        gradio.routes.DEFAULT_TEMP_DIR = str(uploads)  # read when Gradio is imported
        page = build(studio)
        try:
            with swept(uploads):
                intake = Intake(uploads, studio.habits.limits.size)
                guarded = Guarded(default_response_class=ORJSONResponse)
                guarded.guard = lambda app: Prefix(Door(app, rules, intake), root_path)
                yield _launched(page, studio, host, port, root_path, guarded)
        finally:
            page.close(verbose=False)
            os.environ.pop("GRADIO_TEMP_DIR")
            if before[0] is not None:
                os.environ["GRADIO_TEMP_DIR"] = before[0]
            gradio.routes.DEFAULT_TEMP_DIR = before[1]


class Guarded(App):  # type: ignore[misc]
    """Gradio's application behind a door, which stands before all of its middleware."""

    guard: Callable[[Any], Any]

    def build_middleware_stack(self) -> Any:
        """Starlette's stack, and the door around it."""
        return self.guard(super().build_middleware_stack())


@contextmanager
def _gone_with_us(folder: Path) -> Iterator[None]:
    """Have a folder removed when this process has ended, were it by a kill."""
    words = [sys.executable, "-I", "-c", WATCH, str(folder)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True):
        yield


def _launched(
    page: gr.Blocks, studio: Studio, host: str, port: int, root_path: str, app: Guarded
) -> str:
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            root_path=root_path or None,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            show_error=False,
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            enable_monitoring=False,
            pwa=False,
            mcp_server=False,
            state_session_capacity=TABS,
            max_file_size=studio.habits.limits.size,
            theme=theme(),
            css=text("page.css"),
            head=f"<script>{text('page.js')}</script>",
            _app=app,
        )
    except OSError as error:
        raise AsyrpError(
            f"needed a free port to listen on; {host}:{port} is taken or not ours; "
            "choose another with --port"
        ) from error
    return str(address)
