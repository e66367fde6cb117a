"""asyrp doctor."""

import os
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from importlib.util import find_spec
from typing import Any

import torch
from packaging.requirements import Requirement

from asyrp.domains.base import built_in
from asyrp.domains.shipped import shipped_directions
from asyrp.options.editing import Doctor
from asyrp.runtime.download import cache_folder
from asyrp.runtime.offline import is_offline
from asyrp.runtime.precision import bfloat16_pays

NOT_FOR_USERS = ("test", "dev", "docs", "browser", "lpips")


def run(options: Doctor) -> dict[str, Any]:
    """Print a fact a line, then the command to run next."""
    missing = {name: lacks for name, lacks in extras().items() if lacks}
    told = [*facts(missing)]
    for name, value in told:
        print(f"{name:12} {value}")
    print(f"\nnext: {next_command(missing)}")
    return {"facts": told, "next": next_command(missing)}


def facts(missing: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    """What this machine is, and what is there."""
    yield (
        "asyrp",
        f"{version('asyrp')}, Python {platform.python_version()} on {platform.platform()}",
    )
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    yield "torch", f"{torch.__version__}, {torch.get_num_threads()} threads"
    for device in ("cpu", *gpus, *["mps"] * torch.backends.mps.is_available()):
        pays = "pays" if bfloat16_pays(torch.device(device)) else "does not pay"
        yield device, f"bfloat16 {pays} here (--dtype auto)"
    if hasattr(os, "getloadavg"):
        yield "load", f"{os.getloadavg()[0]:.1f} processes on {os.cpu_count()} cores"
    offline = "; offline: nothing is downloaded" if is_offline() else ""
    yield "cache", f"{cache_folder()}{offline}"
    for domain in built_in():
        folder = domain.rpartition("-")[0]
        names = [path.stem for path, _ in shipped_directions() if path.parts[-3] == folder]
        yield "domain", f"{domain}: {', '.join(names) or 'no directions'}"
    for name, lacks in missing.items():
        yield "not there", f"extra {name} ({', '.join(lacks)}): pip install 'asyrp[{name}]'"


def extras() -> dict[str, list[str]]:
    """Extra of the package -> its packages that are not installed."""
    names = [name for name in metadata("asyrp").get_all("Provides-Extra", []) if name]
    return {name: lacking(name) for name in names if name not in NOT_FOR_USERS}


def lacking(extra: str) -> list[str]:
    """Packages of an extra that are not installed, or too old."""
    wanted = [Requirement(line) for line in requires("asyrp") or []]
    asked = [one for one in wanted if one.marker and one.marker.evaluate({"extra": extra})]
    return [one.name for one in asked if one.name != "asyrp" and not _is_there(one)]


def _is_there(wanted: Requirement) -> bool:
    try:
        return wanted.specifier.contains(version(wanted.name), prereleases=True)
    except PackageNotFoundError:
        return find_spec(wanted.name.replace("-", "_")) is not None


def next_command(missing: Mapping[str, list[str]]) -> str:
    """One command that makes sense now."""
    if "plots" in missing:
        return "pip install 'asyrp[plots,align,app]'"
    return "asyrp demo --out demo"
