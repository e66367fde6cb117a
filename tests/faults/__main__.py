"""`python -m faults`: run the parts, keep what came of them, write the page.

python -m faults --keep build/faults --write docs/faults.md
python -m faults fuzz --files 100            # one part, fewer files
python -m faults --show "PNG" 17 /tmp/a      # the files of a number, to look at
"""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from faults import disks, elsewhere, fuzz, kills, report, soak
from faults.running import Fault
from faults.watch import files_of


def main() -> int:
    """1 if any fault did harm."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that small disks are unmounted
    torch.set_num_threads(1)
    if options.show:
        return _show(*options.show)
    if not options.parts:
        harm = _every_part(options)
    else:
        warnings.simplefilter("ignore")
        harm = _worked(options)
    if options.write:
        options.write.write_text(report.page(options.keep))
    return int(harm > 0)


def _every_part(options: argparse.Namespace) -> int:
    """All parts, each in a process of its own; returns how many did harm.

    Spoilt files take both cores, and come when the others, which take one, have ended.
    """
    given = sys.argv[1:]
    if "--write" in given:  # by the process that has all parts
        at = given.index("--write")
        given = given[:at] + given[at + 2 :]
    command = [sys.executable, "-m", "faults"]
    single = [name for name in report.PARTS if name != "fuzz"]
    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda n: subprocess.run([*command, n, *given]).returncode, single))
    ends.append(subprocess.run([*command, "fuzz", *given]).returncode)
    return sum(end != 0 for end in ends)


def _worked(options: argparse.Namespace) -> int:
    """The parts that were asked for; returns how many rows name harm."""
    harm = 0
    for name in options.parts:
        rows, begun = [], time.perf_counter()
        root = Path(tempfile.mkdtemp(prefix=f"asyrp-{name}-"))
        try:
            for row in _part(name, root, options):
                rows.append(row)
                bad = "; ".join(row.faults)
                harm += bool(bad)
                print(
                    f"{row.what:50} {row.tried:6} {row.seconds:7.1f} s  {bad or 'good'}", flush=True
                )
        finally:
            shutil.rmtree(root, ignore_errors=True)
        report.save_part(options.keep, name, rows, time.perf_counter() - begun)
    return harm


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(report.PARTS)}; all by default")
    parser.add_argument("--keep", type=Path, default=Path("build/faults"), help="folder of results")
    parser.add_argument("--write", type=Path, help="the page, from all results in --keep")
    parser.add_argument("--files", type=int, default=2000, help="spoilt files of each kind")
    parser.add_argument("--only", nargs="*", default=(), help="fuzz kinds with such a word")
    parser.add_argument("--seed", type=int, default=0, help="of the spoilt files")
    parser.add_argument("--kills", type=int, default=24, help="of each command")
    parser.add_argument("--real-kills", type=int, default=3, help="of processes without a fork")
    parser.add_argument("--times", type=int, default=4, help="each disk fills up")
    parser.add_argument("--edits", type=int, default=500, help="of the app")
    parser.add_argument("--show", nargs=3, metavar=("KIND", "NUMBER", "FOLDER"))
    return parser.parse_args()


def _part(name: str, root: Path, options: argparse.Namespace) -> Iterator[Fault]:
    if name == "kills":
        return kills.every(root, options.kills, options.real_kills)
    if name == "disks":
        return disks.every(root, options.times)
    if name == "elsewhere":
        return elsewhere.every(root)
    if name == "fuzz":
        return fuzz.every(options.files, options.seed, options.only)
    return soak.every(root, options.edits)


def _show(kind: str, number: str, folder: str) -> int:
    (found,) = (one for one in fuzz.EVERY if one.name == kind)
    for place, content in files_of(found, int(number)).items():
        (Path(folder) / place).parent.mkdir(parents=True, exist_ok=True)
        (Path(folder) / place).write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
