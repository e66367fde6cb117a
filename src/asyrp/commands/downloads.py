"""What the command line shows of a download."""

from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from asyrp.errors import printable
from asyrp.runtime.download import Came, watch


@contextmanager
def bar(name: str, total: int | None) -> Iterator[Came]:
    """Bytes as they come, on a terminal only."""
    what = printable(f"downloading {name}")
    with tqdm(desc=what, total=total, unit="B", unit_scale=True, disable=None) as shown:
        yield shown.update


@contextmanager
def shown_downloads() -> Iterator[None]:
    """Downloads within show a bar."""
    token = watch.set(bar)
    try:
        yield
    finally:
        watch.reset(token)
