"""Components that Gradio makes anew and forgets to let go of.

Gradio 6.31 makes a component anew, with a new id, whenever it is an output that gets an update or
nothing; the next event that uses it files it under that id too. Sessions would grow by a few
components at every edit, for as long as the tab is open.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any


def tidied(page: Any, handler: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """A handler before which the session of its tab forgets all but the page's own components.

    page: the `gr.Blocks`.
    """

    @functools.wraps(handler)
    def run(request: Any, *values: Any) -> Iterator[Any]:
        forget(page, str(request.session_hash))
        yield from handler(request, *values)

    return run


def forget(page: Any, name: str) -> None:
    """Drop what a session holds under ids that the page does not have."""
    session = page.state_holder.session_data.get(name)
    if session is None:
        return
    for kept in (session.blocks_config.blocks, session.config_values):
        for number in set(kept) - set(page.blocks):
            kept.pop(number, None)
