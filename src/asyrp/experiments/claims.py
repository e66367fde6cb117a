"""The claims of `claims.toml`: written before the numbers, decided by their rules alone."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from asyrp.errors import AsyrpError
from asyrp.reporting.significance import holm, p_value
from asyrp.reporting.statistics import Estimate

LEVEL = 0.05
Measures = Mapping[str, Estimate | float | None]
"""measure -> what was found; a bare number has no doubt, None was not found."""
KINDS = ("above", "below", "within")
SECOND = ", by the second judge"


class Outcome(NamedTuple):
    """Where a claim's numbers point, and the p of their pointing there by chance."""

    holds: bool
    p: float

    def at(self, level: float) -> bool | None:
        """Holds (True), fails (False), or undecided (None)."""
        return self.holds if self.p <= level else None


@dataclass(frozen=True)
class Rule:
    """One measure's bound; kind: one of KINDS. judges: two where a second one has to agree."""

    measure: str
    kind: str
    bound: float
    judges: int = 1

    @property
    def measures(self) -> tuple[str, ...]:
        """What is measured, once a judge."""
        return (self.measure, self.measure + SECOND)[: self.judges]

    def joined(self, found: Measures) -> Outcome | None:
        """The outcome of all judges together, p 1 where they differ; None where one lacks."""
        known = [one for measure in self.measures if (one := found[measure]) is not None]
        if len(known) < self.judges:
            return None
        parts = [self.outcome(one) for one in known]
        agree = len({one.holds for one in parts}) == 1
        return Outcome(parts[0].holds, max(one.p for one in parts) if agree else 1.0)

    def outcome(self, found: Estimate | float) -> Outcome:
        """Which side of the bound it is on, and the p of the bound itself."""
        value = found.value if isinstance(found, Estimate) else found
        near = abs(value) < self.bound if self.kind == "within" else None
        holds = near if near is not None else (value > self.bound) is (self.kind == "above")
        if not isinstance(found, Estimate):
            return Outcome(holds, 0.0)
        if self.kind != "within":
            return Outcome(holds, p_value(found, self.bound))
        ends = [p_value(found, bound) for bound in (-self.bound, self.bound)]
        return Outcome(holds, max(ends) if near else ends[value > 0])


@dataclass(frozen=True)
class Claim:
    """A claim, its rules, and how many images it needs.

    join: "all" rules must hold, or the measures must "agree". discordant: see `claims.toml`.
    """

    name: str
    text: str
    rules: tuple[Rule, ...]
    join: str
    images: int
    discordant: float | None = None

    def outcome(self, found: Measures) -> Outcome:
        """What the measures say of all rules together; p is 1 where one is missing or they differ.

        AsyrpError for a measure that is not one of the claim's, or lacks.
        """
        wanted = [measure for rule in self.rules for measure in rule.measures]
        if set(wanted) != set(found):
            odd = sorted(set(wanted) ^ set(found))[0]
            raise AsyrpError(f"the claim {self.name!r} is decided by {wanted}; {odd!r} differs")
        parts = [one for rule in self.rules if (one := rule.joined(found)) is not None]
        against = [part.p for part in parts if not part.holds]
        if self.join == "all" and against:  # one that fails is enough
            return Outcome(False, min(1.0, min(against) * len(self.rules)))
        if len(parts) < len(self.rules) or 0 < len(against) < len(parts):
            return Outcome(not against, 1.0)
        return Outcome(not against, max(part.p for part in parts))


@cache
def registered() -> Mapping[str, Claim]:
    """Every claim by its name."""
    content = tomllib.loads(files("asyrp.experiments").joinpath("claims.toml").read_text("utf-8"))
    return {name: read_claim(name, table) for name, table in content.items()}


def read_claim(name: str, table: Mapping[str, Any]) -> Claim:
    """A claim of a table of `claims.toml`; AsyrpError for one that lacks something."""
    try:
        rules = tuple(_rule(name, one) for one in table["rules"])
        join = table["join"] if len(rules) > 1 else table.get("join", "all")
        claim = Claim(name, table["claim"], rules, join, table["images"], table.get("discordant"))
    except KeyError as error:
        raise AsyrpError(f"the claim {name!r} needs {error}; write it into claims.toml") from error
    if join not in ("all", "agree"):
        raise AsyrpError(f"the claim {name!r}: join must be 'all' or 'agree'; got {join!r}")
    return claim


def _rule(name: str, table: Mapping[str, Any]) -> Rule:
    kinds = [kind for kind in KINDS if kind in table]
    if len(kinds) != 1:
        raise AsyrpError(f"the claim {name!r}: a rule needs one of {', '.join(KINDS)}; got {kinds}")
    return Rule(table["measure"], kinds[0], float(table[kinds[0]]), table.get("judges", 1))


def decided(outcomes: Sequence[Outcome], level: float = LEVEL) -> list[bool | None]:
    """The verdicts of all claims of a page together: holds, fails, undecided.

    Of all that are decided wrongly there is one or more with a chance of at most `level` (Holm
    1979).
    """
    adjusted = holm([one.p for one in outcomes])
    return [one._replace(p=p).at(level) for one, p in zip(outcomes, adjusted, strict=True)]
