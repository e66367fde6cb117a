"""Options of the page."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from asyrp.options.shared import Flat, Guides, Inverting, Network, Repeated, Steps, Unasked, unset


@dataclass(frozen=True)
class App:
    """Open a page that edits pictures and trains directions, on this machine alone."""

    host: str = "127.0.0.1"
    """Address to listen on. Beyond this machine, as by 0.0.0.0, the page asks for a password: that
    of the variable ASYRP_PASSWORD, or one that is made up and shown here."""
    public_host: Annotated[tuple[str, ...], Repeated] = ()
    """A name that others call the page by, such as that of a proxy; addresses need none."""
    port: int = 7860
    """TCP port."""
    root_path: Annotated[str, unset("none", "PATH")] = ""
    """Path under which a reverse proxy has the page, as in /faces."""
    directions: Path = Path("directions")
    """Folder of your direction files; what is trained on the page is written there."""
    steps: Steps = 40
    people: int = 16
    """Tabs at a time; past it the one idle longest has to begin anew."""
    upload_megabytes: float = 20
    """Largest upload, in MB."""
    upload_megapixels: float = 64
    """Largest picture, in millions of pixels; all are scaled to what the network takes."""
    threads: Annotated[int | None, unset("torch's, as for other commands", "INT")] = None
    """CPU threads of one walk."""
    network: Annotated[Network, Flat] = field(
        default_factory=lambda: Network(model=Unasked(Network().model))
    )
    """Without --domain and --model the domain is photographs-64."""
    inverting: Annotated[Inverting, Flat] = field(default_factory=Inverting)
    guides: Annotated[Guides, Flat] = field(default_factory=Guides)
