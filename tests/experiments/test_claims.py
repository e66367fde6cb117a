"""Claims are decided by their rules alone, and their samples are as large as their power needs."""

import numpy as np
import pytest
from scipy import special

from asyrp.errors import AsyrpError
from asyrp.experiments.claims import SECOND, Outcome, decided, read_claim, registered
from asyrp.experiments.studies.catalogue import STUDIES
from asyrp.reporting.statistics import Estimate, of_difference, of_mean


def about(value: float, width: float = 0.05) -> Estimate:
    return Estimate(value, value - width, value + width, 24)


def images_needed(
    difference: float, discordant: float, power: float = 0.8, level: float = 0.05
) -> int:
    """Images on which McNemar's test finds a difference of two rates with a chance of `power`.

    discordant: share of images on which the two disagree (Miettinen 1968).
    """
    at_null = special.ndtri(1 - level / 2) * np.sqrt(discordant)
    at_truth = special.ndtri(power) * np.sqrt(discordant - difference**2)
    return int(np.ceil(((at_null + at_truth) / difference) ** 2))


def test_so_many_images_find_10_points_4_times_of_5() -> None:
    assert images_needed(0.1, 0.2) == 155
    rng, count = np.random.default_rng(0), images_needed(0.1, 0.3)
    found = 0
    for _ in range(1000):
        lot = rng.random(count)
        found += of_difference(lot < 0.2, (lot >= 0.2) & (lot < 0.3)).low > 0
    assert found / 1000 == pytest.approx(0.8, abs=0.03)


def claim(*rules: dict[str, object], join: str = "all"):  # type: ignore[no-untyped-def]
    named = [{"measure": f"m{k}", **rule} for k, rule in enumerate(rules)]
    return read_claim("one", {"claim": "x", "images": 9, "join": join, "rules": named})


def holds(made, *found: Estimate | float | None) -> bool | None:  # type: ignore[no-untyped-def]
    return made.outcome({f"m{k}": one for k, one in enumerate(found)}).at(0.05)


def test_a_rule_is_what_the_interval_says() -> None:
    above, below, near = (claim({kind: 0.1}) for kind in ("above", "below", "within"))
    for value in (-0.2, -0.12, -0.06, 0.0, 0.04, 0.06, 0.14, 0.16):
        one = about(value)
        assert holds(above, one) is (True if one.low > 0.1 else False if one.high < 0.1 else None)
        assert holds(below, one) is (True if one.high < 0.1 else False if one.low > 0.1 else None)
        inside = one.low > -0.1 and one.high < 0.1
        outside = one.low > 0.1 or one.high < -0.1
        assert holds(near, one) is (True if inside else False if outside else None)
    assert holds(above, 0.2) is True
    assert holds(below, 0.2) is False
    assert holds(above, None) is None


def test_measures_of_one_thing_must_agree() -> None:
    three = claim({"above": 0}, {"below": 0}, {"below": 0}, join="agree")
    good, bad, unclear = about(0.2), about(-0.2), about(0.01)
    assert holds(three, good, bad, bad) is True
    assert holds(three, bad, good, good) is False
    assert holds(three, bad, good, bad) is None  # they point different ways
    assert holds(three, good, unclear._replace(value=-0.01), bad) is None
    assert holds(three, good, bad, None) is None


def test_all_rules_must_hold_and_one_that_fails_is_enough() -> None:
    two = claim({"above": 0}, {"above": 0.5})
    assert holds(two, about(0.2), about(0.9)) is True
    assert holds(two, about(0.2), about(0.3)) is False
    assert holds(two, about(0.2), about(0.52)) is None
    assert holds(two, None, about(0.3)) is False
    assert holds(two, None, about(0.9)) is None


def test_many_claims_need_stronger_evidence() -> None:
    weak, strong = Outcome(True, 0.04), Outcome(False, 0.001)
    assert decided([weak]) == [True]
    assert decided([weak, strong, Outcome(True, 0.6)]) == [None, False, None]
    rng = np.random.default_rng(0)
    zero = claim({"above": 0})
    wrong = []
    for _ in range(300):  # nine claims of nothing: one decided in at most 5 pages of 100
        found = [zero.outcome({"m0": of_mean(rng.normal(size=24))}) for _ in range(9)]
        wrong.append(any(one is not None for one in decided(found)))
    assert np.mean(wrong) < 0.08


def test_the_list_has_every_study_and_samples_with_power() -> None:
    every = registered()
    assert set(STUDIES) - {"diagnose"} <= set(every)  # which looks at one edit and claims nothing
    compared = [one for one in every.values() if one.discordant is not None]
    assert len(compared) >= 5
    for one in compared:
        assert one.discordant is not None
        assert one.images >= images_needed(0.1, one.discordant)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"claim": "x", "rules": []}, "needs 'images'"),
        ({"claim": "x", "images": 2, "rules": [{"measure": "a"}]}, "a rule needs one of above"),
        ({"claim": "x", "images": 2, "rules": [{"measure": "a", "above": 1}] * 2}, "needs 'join'"),
    ],
)
def test_a_list_that_is_not_whole_is_refused(table: dict[str, object], message: str) -> None:
    with pytest.raises(AsyrpError, match=message):
        read_claim("one", table)


def test_measures_of_another_claim_are_refused() -> None:
    with pytest.raises(AsyrpError, match="'m1' differs"):
        claim({"above": 0}).outcome({"m0": 1.0, "m1": 2.0})


def test_two_judges_have_to_agree() -> None:
    both = claim({"above": 0, "judges": 2}, {"above": 0.5})

    def told(first: Estimate, second: Estimate | None) -> bool | None:
        found = {"m0": first, f"m0{SECOND}": second, "m1": about(0.9)}
        return both.outcome(found).at(0.05)  # type: ignore[no-any-return]

    assert told(about(0.2), about(0.3)) is True
    assert told(about(-0.2), about(-0.3)) is False
    assert told(about(0.2), about(-0.3)) is None
    assert told(about(0.2), about(0.01)) is None
    assert told(about(0.2), None) is None
    success = [rule for one in registered().values() for rule in one.rules
               if rule.measure.startswith(("clean", "success"))]  # fmt: skip
    assert success
    assert all(rule.judges == 2 for rule in success)
