"""Where the presets get their weights from; nothing here is downloaded."""

import re
from urllib.parse import parse_qs, urlparse

import pytest

from asyrp.networks.presets import EVERY, Preset, WeightSource
from asyrp.runtime.download import is_url, parse_source

HOSTS = {
    "heibox.uni-heidelberg.de",
    "drive.usercontent.google.com",
    "drive.google.com",
    "openaipublic.blob.core.windows.net",
    "image-editing-test-12345.s3-us-west-2.amazonaws.com",
}
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# as the repositories of the weights and issue threads about them write them
DRIVE = {
    "celeba-hq": {"1wSoA5fm_d6JBZk4RZ1SzWLMgev4WqH21"},
    "afhq-dog": {"14OG_o3aa8Hxmfu36IIRyOgRwEP6ngLdo", "1f6_swzSPNJXs9FWf6AW585bv7dORzRWf"},
    "metfaces": {"1swjgSB1WFF9JnBR6W6Newnfzdyo1nPYf", "1SaHqew52S9iRCeN7kpPMLqlo2t34ekTb"},
    "ffhq": {"117Y6Z6-Hg6TMZVIXMmgYbpZy7QvTXign", "1nlCPBqOqSeqAQ8F4noThbnmr4okriwTc"},
    "celeba-hq-p2": {"1ag8JnvKGKo6L6avO_dTFEBNWJo2jZIDF"},
}
SOURCES = [(preset, source) for preset in EVERY for source in preset.sources]


@pytest.mark.parametrize(("preset", "source"), SOURCES, ids=lambda x: getattr(x, "name", None))
def test_every_source_is_well_formed(preset: Preset, source: WeightSource) -> None:
    if source.kind == "url":
        url, digest = parse_source(source.place)
        assert is_url(url)
        assert urlparse(url).scheme == "https"
        assert urlparse(url).hostname in HOSTS
        assert ("#" in source.place) == (digest is not None)
    elif source.kind == "hub file":
        owner, name, file = source.place.split("/", 2)
        assert HUB_ID.fullmatch(f"{owner}/{name}")
        assert file in preset.files
    else:
        assert HUB_ID.fullmatch(source.place)


def test_files_of_google_drive_are_those_of_the_authors() -> None:
    found: dict[str, set[str]] = {}
    for preset, source in SOURCES:
        if "//drive." in source.place:
            query = parse_qs(urlparse(source.place).query)
            assert query["export"] == ["download"]
            found.setdefault(preset.name, set()).update(query["id"])
    assert found == DRIVE


def test_every_preset_has_a_second_way_and_a_licence() -> None:
    for preset in EVERY:
        assert len({source.place for source in preset.sources}) >= 2
        assert "licence" in preset.licence or re.search(r"MIT|Apache", preset.licence)
        assert not preset.by_hand or urlparse(preset.by_hand).scheme == "https"
