"""The demo's report: numbers and pictures on one page that needs nothing beside it."""

import base64
import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from asyrp.storage.json_files import write_text

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
img{max-width:100%;image-rendering:auto} figure{margin:1.5rem 0} figcaption{color:#555}
table{border-collapse:collapse} td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd}
td{text-align:right} td:first-child,th:first-child{text-align:left}
""".strip()
FACTS = ["t_start", "t_edit", "t_boost", "strength", "text_cosine", "perceptual_distance"]
FACTS += ["reconstruction_mse", "test_images"]


def write_report(path: Path, content: Mapping[str, Any], figures: Mapping[str, Path]) -> None:
    """Write report.html from the content of report.json and captioned pictures."""
    title = f"Edits of {content['domain']}"
    parts = [f"<h1>{html.escape(title)}</h1>"]
    for edit in content["edits"]:
        told = html.escape(summary(edit))
        parts.append(f"<p><b>{html.escape(_title(edit))}</b>: {told}</p>")
    parts += [_figure(caption, picture) for caption, picture in figures.items()]
    for edit in content["edits"]:
        parts += [
            f"<h2>{html.escape(_title(edit))}</h2>",
            _table(("what", "value"), *_facts(edit)),
            "<h3>Other attributes that changed, %</h3>",
            _table(("attribute", "edit", "reconstruction"), *_leaks(edit)),
        ]
    seconds = [(stage, f"{took:.1f}") for stage, took in content["seconds"].items()]
    parts += ["<h2>Seconds</h2>", _table(("stage", "seconds"), *seconds)]
    head = f"<meta charset='utf-8'><title>{html.escape(title)}</title><style>{STYLE}</style>"
    page = f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(parts)}</body></html>"
    write_text(path, page)


def _title(edit: Mapping[str, Any]) -> str:
    return f"{edit['source']} → {edit['target']}"


def summary(content: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    beyond = content["leakage"] - content["leakage_reconstruction"]
    return (
        f"{content['test_images']} held-out images, of which {percent(content['success_before'])} "
        f"were judged {content['value']} before the edit and {percent(content['success_after'])} "
        f"after it; {percent(content['leakage'])} of the other attributes changed, "
        f"{percent(beyond)} beyond what the reconstruction alone changes."
    )


def percent(share: float) -> str:
    """0.0123 -> '1.2 %'."""
    return f"{100 * share:.1f} %"


def _facts(content: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for name in FACTS:
        value = content[name]
        yield name, f"{value:.4g}" if isinstance(value, float) else str(value)


def _leaks(content: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    plain = content["leakage_reconstruction_by_attribute"]
    for name, share in content["leakage_by_attribute"].items():
        yield name, f"{100 * share:.1f}", f"{100 * plain[name]:.1f}"


def _table(head: Sequence[str], *rows: Sequence[str]) -> str:
    return f"<table>{_row(head, 'th')}{''.join(_row(row, 'td') for row in rows)}</table>"


def _row(cells: Sequence[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"


def _figure(caption: str, picture: Path) -> str:
    data = base64.b64encode(picture.read_bytes()).decode()
    text = html.escape(caption)
    image = f"<img alt='{text}' src='data:image/png;base64,{data}'>"
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"
