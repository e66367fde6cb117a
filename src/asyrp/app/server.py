"""The server of the page."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

import gradio as gr
from starlette.middleware import Middleware

from asyrp.app.http_guard import LOCAL, Door
from asyrp.app.page import build
from asyrp.app.prefix import Prefix
from asyrp.app.studio import Studio
from asyrp.errors import AsyrpError

TABS = 100  # whose components Gradio keeps; a tab that comes back after more begins anew


def theme() -> gr.Theme:
    """Colours and fonts; fonts of the reader's machine, so that none are fetched."""
    fonts = ["system-ui", "sans-serif"]
    mono = ["ui-monospace", "monospace"]
    return gr.themes.Default(primary_hue="blue", neutral_hue="slate", font=fonts, font_mono=mono)


def text(name: str) -> str:
    """A file beside this one."""
    return files("asyrp.app").joinpath(name).read_text(encoding="utf-8")


@contextmanager
def serving(studio: Studio, host: str, port: int, root_path: str = "") -> Iterator[str]:
    """Serve the page; gives its address. Uploads go to a folder that is removed at the end.

    Args:
        root_path: where a proxy has the page, as in "/faces".

    Raises:
        AsyrpError: the port is taken.
    """
    uploads = tempfile.mkdtemp(prefix="asyrp-app-")
    before = {name: os.environ.get(name) for name in ("GRADIO_TEMP_DIR",)}
    os.environ["GRADIO_TEMP_DIR"] = uploads
    page = build(studio)
    try:
        yield _launched(page, studio, host, port, root_path)
    finally:
        page.close(verbose=False)
        shutil.rmtree(uploads, ignore_errors=True)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _launched(page: gr.Blocks, studio: Studio, host: str, port: int, root: str) -> str:
    hosts = frozenset(LOCAL if host in LOCAL else ())
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            root_path=root or None,
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
            app_kwargs={
                "middleware": [Middleware(Prefix, root=root), Middleware(Door, hosts=hosts)]
            },
            theme=theme(),
            css=text("page.css"),
            head=f"<script>{text('page.js')}</script>",
        )
    except OSError as error:
        raise AsyrpError(
            f"needed a free port to listen on; {host}:{port} is taken or not ours; "
            "choose another with --port"
        ) from error
    return str(address)
