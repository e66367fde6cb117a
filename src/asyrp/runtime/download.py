"""Files from elsewhere: URLs with a digest, the Hub, the cache folder, offline mode."""

import hashlib
import http.client
import os
import urllib.request
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urldefrag, urlparse

from asyrp.errors import AsyrpError, first_line
from asyrp.runtime.offline import is_offline
from asyrp.storage.files import atomic_path
from asyrp.storage.outputs import digest_of
from asyrp.storage.untrusted.revisions import pinned, tell_revision
from asyrp.storage.weight_files import HUB_FILES, has_weights

SECONDS = 60  # without an answer before a link counts as dead
CHUNK = 1 << 20
LENGTHS = {"sha256": 64, "md5": 32}
FOLDER_FILES = (
    "model_index.json",
    "*config.json",
    "unet/config.json",
    "scheduler/scheduler_config.json",
)

Came = Callable[[int], object]
"""Told how many bytes came."""
Watch = Callable[[str, int | None], AbstractContextManager[Came]]
"""From a file's name and its bytes, None where nobody said: a context that is told what came."""


_UNWATCHED = nullcontext(lambda count: None)
watch: ContextVar[Watch] = ContextVar("watch", default=lambda name, total: _UNWATCHED)


class Digest(NamedTuple):
    """What a file must hash to."""

    kind: str
    value: str


def cache_folder() -> Path:
    """Where downloads and converted networks are kept: ASYRP_CACHE, or asyrp/ in the Hub's home."""
    own, home = os.environ.get("ASYRP_CACHE"), os.environ.get("HF_HOME")
    if own:
        return Path(own).expanduser()
    general = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    return (Path(home) if home else general).expanduser() / "asyrp"


def is_url(spec: str) -> bool:
    """Whether a spec is a URL of any kind."""
    return "://" in spec or spec.startswith("file:")


def fetch_url(spec: str) -> Path:
    """The file of "URL#sha256=HEX", downloaded once; AsyrpError for any other, or a dead link."""
    try:
        url, fragment = urldefrag(spec)
    except ValueError as error:
        raise AsyrpError(f"{spec!r} is no URL: {error}") from error
    if "@" in urlparse(url).netloc:  # and it is not shown
        raise AsyrpError("a URL can hold no user and password here; download the file yourself")
    digest = _digest(fragment)
    if digest is None:
        raise AsyrpError(
            f"a URL needs the SHA-256 of the file that you trust, as in {url}#sha256=...; got "
            f"{fragment or 'none'}"
        )
    return fetch(url, digest)


def fetch(url: str, digest: Digest | None) -> Path:
    """The file behind a URL, checked; a warning tells where https alone vouches for it."""
    parts = urlparse(url)
    if parts.scheme == "file":
        path = Path(urllib.request.url2pathname(parts.path))
        if not path.is_file():
            raise AsyrpError(f"needed a file at {url}; there is none")
        _check(path, digest, url)
        return path
    if parts.scheme != "https":
        raise AsyrpError(f"needed an https or file URL; got {parts.scheme!r} in {url}")
    key = digest.value if digest else hashlib.sha256(url.encode()).hexdigest()
    kept = cache_folder() / "downloads" / f"{key[:16]}-{Path(parts.path).name or 'file'}"
    if kept.is_file():
        return kept
    if is_offline():
        raise AsyrpError(f"{url} is not in the cache ({kept}), and offline mode is on")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(kept) as temporary:
        _download(url, temporary)
        _check(temporary, digest, url)
        _check_kind(temporary, url)
    if digest is None or digest.kind != "sha256":
        warnings.warn(
            f"nobody is known to have published the SHA-256 of {url}; what came has "
            f"{digest_of(kept)}",
            stacklevel=3,
        )
    return kept


def _digest(fragment: str) -> Digest | None:
    kind, _, value = fragment.partition("=")
    value = value.strip().lower()
    if LENGTHS.get(kind) != len(value) or any(letter not in "0123456789abcdef" for letter in value):
        return None
    return Digest(kind, value)


def parse_source(place: str) -> tuple[str, Digest | None]:
    """A preset's URL and its digest, if one was published."""
    url, fragment = urldefrag(place)
    return url, _digest(fragment)


def _download(url: str, path: Path) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "asyrp"})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer, path.open("wb") as file:
            if urlparse(answer.geturl()).scheme != "https":
                raise AsyrpError(f"{url} leads away from https; nothing was downloaded")
            expected = answer.headers.get("Content-Length", "")
            total = int(expected) if expected.isdecimal() else None
            with watch.get()(Path(urlparse(url).path).name or url, total) as came:
                while block := answer.read(CHUNK):
                    came(file.write(block))
    except (OSError, http.client.HTTPException, UnicodeError) as error:  # a URLError is an OSError
        raise AsyrpError(f"{url} cannot be fetched: {error or type(error).__name__}") from error
    if expected.isdecimal() and path.stat().st_size != int(expected):
        raise AsyrpError(f"{url} broke off after {path.stat().st_size:,} of {expected} bytes")


def _check(path: Path, digest: Digest | None, url: str) -> None:
    if digest is None:
        return
    found = digest_of(path, digest.kind)
    if found != digest.value:
        raise AsyrpError(
            f"the file at {url} is not the one asked for: {digest.kind} {digest.value} was needed, "
            f"{found} came; it was not opened"
        )


def _check_kind(path: Path, url: str) -> None:
    """A page that says why there is no file must not stay in the cache in its place."""
    with path.open("rb") as file:
        head = file.read(9)
    if head[:2] != b"PK" and head[:1] != b"\x80" and head[8:] != b"{":
        raise AsyrpError(
            f"{url} gave no checkpoint but something that begins with {head!r}; it may want a login"
        )


def hub_folder(
    repository: str, files: Sequence[str] = FOLDER_FILES, parts: Sequence[str] = ("", "unet")
) -> Path:
    """A local copy of parts of a Hub repository, each with its weights, and of other files.

    Takes safetensors where there are some, whole or in shards, and else pickles, of which only
    tensors are read, or the one variant that there is.

    Raises:
        AsyrpError: not there, not reachable, or offline and not in the Hub's cache.
    """
    from huggingface_hub import snapshot_download

    for names in HUB_FILES:
        weights = [str(PurePosixPath(part, name)) for part in parts for name in names]
        folder = _from_hub(repository, snapshot_download, allow_patterns=[*files, *weights])
        if all(has_weights(folder / part) for part in parts):
            break
    return folder


def hub_file(place: str) -> Path:
    """One file of a Hub repository, from "owner/name/file" or "owner/name/file@revision"."""
    from huggingface_hub import hf_hub_download

    place, at, revision = place.partition("@")
    owner, name, file = place.split("/", 2)
    return _from_hub(f"{owner}/{name}{at}{revision}", hf_hub_download, filename=file)


def _from_hub(repository: str, download: object, **what: object) -> Path:
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    asked = pinned(repository)
    how = {"revision": asked.revision, "local_files_only": is_offline(), **what}
    try:
        found = Path(download(asked.name, **how))  # type: ignore[operator]
    except LocalEntryNotFoundError as error:
        why = "offline mode is on" if is_offline() else "the Hub cannot be reached"
        raise AsyrpError(
            f"{repository!r} is neither a folder here nor in the local Hub cache, and {why}; check "
            "the name or the network"
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise AsyrpError(f"the Hub has no usable {repository!r}: {first_line(error)}") from error
    tell_revision(asked, found)
    return found
