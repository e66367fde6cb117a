"""asyrp directions."""

from dataclasses import asdict
from typing import Any

from asyrp.domains.base import built_in, source_of
from asyrp.domains.shipped import shipped_directions
from asyrp.method.direction_file import DirectionCard
from asyrp.options import Directions

COLUMNS = "{:16} {:10} {:28} {:>8} {:>8}"


def run(options: Directions) -> dict[str, Any]:
    """Print a line for each direction: how many test images show the value, and what leaks."""
    found = []
    domains = [source_of(options.domain).NAME] if options.domain else built_in()
    print(COLUMNS.format("domain", "name", "target", "success", "leakage"))
    for path, card in shipped_directions():
        for domain in domains:
            if domain.startswith(f"{path.parts[-3]}-"):
                print(COLUMNS.format(domain, path.stem, card.target, *_measured(card)))
                found.append({"domain": domain, "name": path.stem, **asdict(card)})
    return {"directions": found}


def _measured(card: DirectionCard) -> list[str]:
    """Shares in %, as the card has them from the domain's judge."""
    told = card.training.get("test", {})
    shares = [told.get(name) for name in ("success", "leakage")]
    return [f"{share:.1%}" if isinstance(share, float) else "?" for share in shares]
