"""asyrp directions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asyrp.commands.common import progress, say
from asyrp.domains.base import built_in, source_of
from asyrp.domains.shipped import shipped_directions, strips
from asyrp.method.direction_file import DirectionCard
from asyrp.networks import load_model
from asyrp.options.editing import Directions
from asyrp.storage.files import atomic_folder
from asyrp.storage.images import contact_sheet, write_png
from asyrp.storage.results import check_results

COLUMNS = "{:16} {:10} {:28} {:>8} {:>8}"
SAMPLES = 4  # of a strip


def run(options: Directions) -> dict[str, Any]:
    """Print a line for each direction: how many test images show the value, and what leaks."""
    found: dict[str, list[dict[str, Any]]] = {}
    domains = [source_of(options.domain).NAME] if options.domain else built_in()
    print(COLUMNS.format("domain", "name", "target", "success", "leakage"))
    for path, card in shipped_directions():
        for domain in domains:
            if domain.startswith(f"{path.parts[-3]}-"):
                print(COLUMNS.format(domain, path.stem, card.target, *_measured(card)))
                found.setdefault(domain, []).append({"name": path.stem, **asdict(card)})
    if options.out:
        show({domain: [one["name"] for one in of] for domain, of in found.items()}, options.out)
    return {"directions": [{"domain": d, **one} for d, of in found.items() for one in of]}


def show(names: Mapping[str, Sequence[str]], folder: Path) -> None:
    """Write DOMAIN-NAME.png for each: samples above, and below them their edits."""
    files = [f"{domain}-{name}.png" for domain, of in names.items() for name in of]
    check_results(folder, None, files)
    with progress("drawing strips", "strip") as report, atomic_folder(folder) as out:
        done = 0
        for domain, of in names.items():
            for name, strip in strips(load_model(domain), of, SAMPLES):
                write_png(out / f"{domain}-{name}.png", contact_sheet([*strip]))
                report(done := done + 1, len(files))
    say(f"wrote {len(files)} strips to {folder}")


def _measured(card: DirectionCard) -> list[str]:
    """Shares in %, as the card has them from the domain's judge."""
    told = card.training.get("test", {})
    shares = [told.get(name) for name in ("success", "leakage")]
    return [f"{share:.1%}" if isinstance(share, float) else "?" for share in shares]
