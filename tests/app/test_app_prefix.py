"""The page under a path of a proxy's address."""

import asyncio
from typing import Any

import pytest

from asyrp.app.prefix import Prefix, check_root
from asyrp.errors import AsyrpError


def passed_on(path: str, root: str) -> str:
    seen: list[str] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])

    scope = {"type": "http", "path": path}
    asyncio.run(Prefix(page, root)(scope, None, None))  # type: ignore[arg-type]
    assert scope["path"] == path
    return seen[0]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/faces/", "/"),
        ("/faces", "/"),
        ("/faces/assets/a.js", "/assets/a.js"),
        ("/facesx/config", "/facesx/config"),
        ("/config", "/config"),
        ("/faces/faces/config", "/faces/config"),
    ],
)
def test_a_public_path_is_taken_off_once(path: str, wanted: str) -> None:
    assert passed_on(path, "/faces") == wanted
    assert passed_on(path, "") == path


def test_paths_that_are_none_are_refused() -> None:
    assert check_root("/lab/faces/") == "/lab/faces"
    assert check_root("") == check_root("/") == ""
    for root in ("faces", "//faces", "/a/../b", "/a?b", "/a b", "https://example.org/a"):
        with pytest.raises(AsyrpError, match="--root-path is a path such as /faces"):
            check_root(root)
