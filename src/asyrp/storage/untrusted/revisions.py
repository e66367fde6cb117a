"""Which state of a Hub repository a name means: a commit, so that nobody can change it since."""

import re
import warnings
from pathlib import Path
from typing import NamedTuple

# As several public projects pin them; there was no Hub to look at.
KNOWN = {
    "openai/clip-vit-base-patch16": "57c216476eefef5ab752ec549e440a49ae4ae5f3",
    "google/ddpm-celebahq-256": "cd5c944777ea2668051904ead6cc120739b86c4d",
}
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Pinned(NamedTuple):
    """A folder or Hub id, and its revision; None where none is known or it is no Hub id."""

    name: str
    revision: str | None


def pinned(spec: str | Path) -> Pinned:
    """Take NAME@REVISION apart; a name that is known has a revision of its own."""
    text = str(spec)
    name, at, revision = text.partition("@")
    if Path(text).exists() or not (at and revision):
        return Pinned(text, None if Path(text).exists() else KNOWN.get(text))
    return Pinned(name, revision)


def tell_revision(asked: Pinned, found: Path) -> None:
    """Warn of a name without a revision, with the one that came: the folder of a snapshot."""
    folders = [part for part in found.parts if _COMMIT.fullmatch(part)]
    if asked.revision is None and folders:
        warnings.warn(
            f"{asked.name!r} was taken as it is now; to have the same for ever, name "
            f"{asked.name}@{folders[-1]}",
            stacklevel=3,
        )
