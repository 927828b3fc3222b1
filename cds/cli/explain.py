"""`cds explain`: why a criterion is met, not met or unknown for a patient, down to the CQL and the resources."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cds.cli.command import MOMENT, environment, main, read_bundle, usable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from cds.authoring.explain import Explanation, TrialExplanation
    from cds.authoring.outline import Branch
    from cds.elm.trace import Step
    from cds.fhir.record import PatientRecord
    from cds.trials.catalog import Catalog, Trial


@main.command("explain")
@click.argument("bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--trial", "trial_id", metavar="ID", help="The trial whose criteria are explained.")
@click.option(
    "--criterion",
    "criterion_ids",
    multiple=True,
    metavar="ID",
    help="This criterion (repeats; default: all open ones).",
)
@click.option("--now", type=MOMENT, help="The moment of evaluation (default: the clock).")
@click.option(
    "--first-dose", type=click.DateTime(["%Y-%m-%d"]), help="The planned first dose (default: the date of now)."
)
@click.option("--all", "everything", is_flag=True, help="Fold nothing: every sub-expression.")
@click.option("--format", "form", type=click.Choice(["tree", "json"]), default="tree", show_default=True)
def explain_command(
    bundle: Path,
    trial_id: str | None,
    criterion_ids: tuple[str, ...],
    now: datetime | None,
    first_dose: datetime | None,
    everything: bool,
    form: str,
) -> None:
    """Explain what decided the criteria of a trial for the patient in BUNDLE."""
    from cds.authoring.explain import explain
    from cds.fhir.record import PatientRecord
    from cds.trials.catalog import Catalog

    settings = environment()
    catalog = usable(lambda: Catalog.load(settings.plandefinitions))
    trial = _trial(catalog, trial_id)
    _check(criterion_ids, trial)
    zone = settings.timezone
    moment = datetime.now(zone) if now is None else now if now.tzinfo else now.replace(tzinfo=zone)
    record = usable(lambda: PatientRecord.from_bundle(read_bundle(bundle), now=moment, timezone=zone))
    day = first_dose.date() if first_dose else moment.date()
    answer = explain(catalog, record, trial.id, now=moment, first_dose=day, criteria=criterion_ids)
    _print_trees(answer, record, everything)


def _trial(catalog: Catalog, trial_id: str | None) -> Trial:
    found = {trial.id: trial for trial in catalog.active}.get(trial_id or "")
    if found is None:
        wrong = f"no active trial {trial_id}" if trial_id else "name a trial with --trial"
        raise click.UsageError(f"{wrong}; there are: {', '.join(trial.id for trial in catalog.active)}")
    return found


def _check(criterion_ids: tuple[str, ...], trial: Trial) -> None:
    known = [criterion.id for criterion in trial.criteria]
    if unknown := [name for name in criterion_ids if name not in known]:
        raise click.UsageError(f"{trial.id} has no criterion {', '.join(unknown)}; there are: {', '.join(known)}")


_OUTCOME_SIGNS = {
    "met": ("✓", "green"),
    "not-met": ("✗", "red"),
    "unknown": ("?", "yellow"),
    "not-applicable": ("–", "dim"),
}
_STYLES = {"✓": "green", "✗": "red", "?": "yellow", "!": "bold red", "+": "green", "-": "red", "–": "dim", "…": "dim"}


def _print_trees(answer: TrialExplanation, record: PatientRecord, everything: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    told = f"{answer.trial.id}  {answer.match.patient}  evaluated {answer.match.evaluated_at}"
    console.print(Text(f"{told}, first dose {answer.match.first_dose}", style="bold"))
    for explanation in answer.criteria:
        console.print()
        _print_criterion(console, explanation)
        for step in filter(None, (explanation.applies, explanation.step)):
            _print_tree(console, step, record, everything)
        _, style = _OUTCOME_SIGNS[explanation.result.outcome.value]
        console.print(Text(explanation.because, style=f"bold {style}"))


def _print_criterion(console: Console, explanation: Explanation) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from cds.fhir.narrative import describe

    result = explanation.result
    criterion = result.criterion
    sign, style = _OUTCOME_SIGNS[result.outcome.value]
    known = "" if result.basis.value == "none" else f", {result.basis.value}"
    head = Text.assemble((f"{sign} {criterion.id}  {criterion.title}", f"bold {style}"))
    head.append(f"  {result.outcome.value}{known} ({criterion.kind.value}, {criterion.assessment.value})", style=style)
    console.print(head)
    facts = [("text", criterion.text), ("reason", result.reason or "")]
    facts.append(("missing", "; ".join(dict.fromkeys(item.title for item in result.missing))))
    facts += [("evidence", f"{item.reference}  {describe(item.resource)}") for item in result.evidence]
    for name, told in facts:
        if told:
            console.print(Padding(Text.assemble((f"{name}: ", "dim"), told), (0, 0, 0, 2), expand=False))


def _print_tree(console: Console, step: Step, record: PatientRecord, everything: bool) -> None:
    from cds.authoring.outline import outline

    for guide, branch in _lines(outline(step, record, everything=everything)):
        console.print(_line(guide, branch, console.width), soft_wrap=True)


def _lines(branch: Branch, guide: str = "", below: str = "") -> Iterator[tuple[str, Branch]]:
    """The lines of an outline with the guides before them."""
    yield guide, branch
    for position, child in enumerate(branch.children):
        last = position == len(branch.children) - 1
        yield from _lines(child, below + ("└ " if last else "├ "), below + ("  " if last else "│ "))


def _line(guide: str, branch: Branch, width: int) -> Text:
    from rich.text import Text

    from cds.authoring.explain import shortened

    style = _STYLES.get(branch.sign, "")
    weight = "bold " if branch.decides else "dim " if branch.sign != "…" else ""
    line = Text.assemble((guide, "dim"), (f"{branch.sign} ", f"{weight}{style}".strip()))
    mark = " ◀" if branch.leaf else ""
    room = max(width - len(line) - len(branch.place) - len(mark) - 2, 24)
    value = shortened(branch.value, max(room // 2, room - len(branch.text) - 3))
    text = shortened(branch.text, max(room - len(value) - 3, 12))
    line.append(text, style="bold" if branch.decides else "dim")
    if value:
        line.append(f" → {value}", style=style or "")
    line.append(mark, style="bold")
    if branch.place:
        line.append(f"  {branch.place}", style="dim")
    return line
