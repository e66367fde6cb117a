"""asyrp reproduce: compare and all studies on a domain, and the page of results."""

from dataclasses import replace
from typing import Any

from asyrp.commands.common import say, work
from asyrp.commands.compare import plan_of
from asyrp.experiments.plan import domain_of, settled, with_finders, with_keeping
from asyrp.experiments.reproduce import results, stages_of
from asyrp.experiments.side_by_side import folder_name, page_name, read_domains, side_by_side
from asyrp.experiments.studies.catalogue import STUDIES, why_no_study
from asyrp.options.domains import Reproduce
from asyrp.storage.files import atomic_folder
from asyrp.storage.json_files import write_text
from asyrp.storage.results import check_results

FURTHER = {"keeping": with_keeping, "finders": with_finders}


def run(options: Reproduce) -> dict[str, Any]:
    """Work what is missing, then write the domain's page, its figures, and results.md."""
    plan = settled(plan_of(options, options.tasks, options.methods))
    runnable = [name for name in STUDIES if not why_no_study(name, domain_of(plan))]
    names = options.studies or tuple(runnable)
    others = ((str(name), FURTHER[name](replace(plan, methods=()))) for name in options.further)
    further = {name: settled(other) for name, other in others}
    stages = stages_of(plan, names, options.faces, further)
    own = page_name(domain_of(plan).name)
    check_results(options.docs, None, ["results.md", own])
    read_domains(options.docs / "results")  # of other domains, before the work
    kept = options.keep / folder_name(domain_of(plan).name)
    work(stages, kept, options.on.workers, domain_of(plan).model)
    with atomic_folder(options.docs) as docs:
        page = results(plan, names, stages, kept, docs, options.on.workers, further)
        write_text(docs / own, page)
        every = read_domains(options.docs / "results", docs / "results")
        write_text(docs / "results.md", side_by_side(every))
    say(f"wrote {options.docs / own} and {options.docs / 'results.md'}")
    return {"docs": options.docs, "stages": len(stages)}
