"""asyrp domain: write the file of a domain of the user's own, or say what one can do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asyrp.commands.common import say
from asyrp.domains.base import SPLITS, load_domain
from asyrp.domains.own_file import TEMPLATE
from asyrp.editing_methods.base import why_not
from asyrp.editing_methods.catalogue import METHODS
from asyrp.errors import AsyrpError, printable
from asyrp.experiments.studies.catalogue import STUDIES, why_no_study
from asyrp.options.domains import Domain
from asyrp.storage.json_files import write_text


def run(options: Domain) -> dict[str, Any]:
    """Write a commented file, or one line for each thing there, missing, or runnable."""
    if options.action == "check":
        lines = [printable(line) for line in report(options.file, options.device)]
        print("\n".join(lines))
        return {"told": lines}
    path = Path(options.file)
    if path.suffix != ".toml":
        raise AsyrpError(f"needed a FILE.toml to write; got {options.file!r}")
    if path.exists():
        raise AsyrpError(f"{options.file!r} exists; name another file, or remove it")
    write_text(path, TEMPLATE)
    say(f"wrote {path}; change what is yours, then: asyrp domain check {path}")
    return {"file": path}


def report(spec: str, device: str = "cpu") -> Iterator[str]:
    """What a domain has, what it lacks, and what runs on it (AsyrpError: it does not load)."""
    domain = load_domain(spec, device)
    shape, scorers = domain.model.picture_shape, domain.scorers
    yield f"domain {domain.name}: a network of {shape[2]} x {shape[1]} pictures; {domain.about}"
    counts = {split: len(domain.images(split, MOST_SHOWN).numbers) for split in SPLITS}
    yield "images: " + ", ".join(f"{split} {count}" for split, count in counts.items())
    yield f"tasks: {', '.join(domain.tasks)}"
    for name in ("judge", "segmenter", "features", "identity"):
        one = getattr(scorers, name)
        yield f"{name}: {one.name if one else 'missing; ' + LOST[name]}"
    methods = {name: why_not(method, domain) for name, method in METHODS.items()}
    studies = {name: why_no_study(name, domain) for name in STUDIES}
    for kind, plural, reasons in (("method", "methods", methods), ("study", "studies", studies)):
        run = [name for name, why in reasons.items() if not why]
        yield f"{plural} that run: {', '.join(run) or 'none'}"
        yield from (f"{kind} {name} does not run: {why}" for name, why in reasons.items() if why)


MOST_SHOWN = 64  # images of a split that are looked at
LOST = {
    "judge": "success and leakage are not measured, and most studies do not run",
    "segmenter": "no SC",
    "features": "no FID and KID",
    "identity": "no identity",
}
