"""asyrp directions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asyrp.commands.common import progress, say
from asyrp.commands.forecast import DECODER, EDITED, foreseen, is_asked, pass_seconds
from asyrp.domains.base import built_in, source_of
from asyrp.domains.shipped import FACTORS, STEPS, shipped_directions, strips
from asyrp.networks import load_model
from asyrp.options.editing import Directions
from asyrp.storage.files import atomic_folder
from asyrp.storage.images import contact_sheet, write_png
from asyrp.storage.results import check_results

COLUMNS = "{:16} {:12} {:28} {:>8} {:>8}"
SAMPLES = 4  # of a strip


def run(options: Directions) -> dict[str, Any]:
    """Print a line for each direction: how many test images show the value, and what leaks."""
    domains = [source_of(options.domain).NAME] if options.domain else built_in()
    rows = [
        {"domain": domain, "name": path.stem, **asdict(card)}
        for path, card in shipped_directions()
        for domain in domains
        if domain.startswith(f"{path.parts[-3]}-")
    ]
    names = {one: [row["name"] for row in rows if row["domain"] == one] for one in domains}
    files = [f"{row['domain']}-{row['name']}.png" for row in rows]
    if options.out:
        check_results(options.out, None, files)
        _foresee(names, f"draw {len(files)} strips into {options.out}")
    print(COLUMNS.format("domain", "name", "target", "success", "leakage"))
    for row in rows:
        print(COLUMNS.format(row["domain"], row["name"], row["target"], *_measured(row)))
    if options.out:
        show(names, options.out)
        say(f"wrote {len(files)} strips to {options.out}")
    return {"directions": rows}


def show(names: Mapping[str, Sequence[str]], folder: Path) -> None:
    """Write DOMAIN-NAME.png for each: samples above, and below them their edits."""
    drawn, count = 0, sum(map(len, names.values()))
    with progress("drawing strips", "strip") as report, atomic_folder(folder) as out:
        for domain, of in names.items():
            for name, strip in strips(load_model(domain), of, SAMPLES):
                write_png(out / f"{domain}-{name}.png", contact_sheet([*strip]))
                report(drawn := drawn + 1, count)


def _foresee(names: Mapping[str, Sequence[str]], would: str) -> None:
    if is_asked():
        each = 1 + DECODER * EDITED  # of a walk with an edit
        walks = {domain: 2 + len(FACTORS) * len(of) * each for domain, of in names.items()}
        seconds = (n * pass_seconds(load_model(domain), SAMPLES) for domain, n in walks.items())
        foreseen(would, SAMPLES * STEPS * sum(seconds))


def _measured(card: Mapping[str, Any]) -> list[str]:
    """Shares in %, as the card has them from the domain's judge."""
    told = card["training"].get("test", {})
    shares = [told.get(name) for name in ("success", "leakage")]
    return [f"{share:.1%}" if isinstance(share, float) else "?" for share in shares]
