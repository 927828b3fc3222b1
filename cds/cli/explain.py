"""`cds explain`: why a criterion is met, not met or unknown for a patient, down to the CQL and the resources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cds.cli.command import MOMENT, environment, main, read_bundle, usable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from cds.authoring.explain import Definition, Explanation, TrialExplanation
    from cds.authoring.outline import Branch
    from cds.elm.trace import Step, TracedEvaluation
    from cds.fhir.record import PatientRecord
    from cds.trials.catalog import Catalog, Trial


_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@main.command("explain")
@click.argument("bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--trial", "trial_id", metavar="ID", help="The trial whose criteria are explained.")
@click.option(
    "--criterion",
    "criterion_ids",
    multiple=True,
    metavar="ID",
    help="This criterion (repeats; default: all that are not met or unknown).",
)
@click.option("--definition", metavar="NAME", help="Explain this definition instead of criteria.")
@click.option("--library", metavar="ID", help="The library of --definition (default: the trial's own).")
@click.option("--elm", type=_FOLDER, help="A folder of compiled libraries to explain instead of a trial.")
@click.option("--vs", "value_sets", type=_FOLDER, help="The value sets of --elm.")
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
    definition: str | None,
    library: str | None,
    elm: Path | None,
    value_sets: Path | None,
    now: datetime | None,
    first_dose: datetime | None,
    everything: bool,
    form: str,
) -> None:
    """Explain what decided the criteria of a trial for the patient in BUNDLE, a FHIR R4 bundle (.json, .json.gz).

    Each line is a part of the CQL with its value: ✓ true, ✗ false, ? null, = another value, ! an error, – not
    evaluated, + a row kept, - a row left out. What decided is spread out and ends at ◀; the rest is folded.
    """
    from cds.authoring.explain import explain, traced_evaluation
    from cds.fhir.record import PatientRecord
    from cds.trials.catalog import Catalog

    settings = environment()
    zone = settings.timezone
    moment = datetime.now(zone) if now is None else now if now.tzinfo else now.replace(tzinfo=zone)
    content = usable(lambda: read_bundle(bundle))
    if elm is not None:
        record = usable(lambda: PatientRecord.from_bundle(content, now=moment, timezone=zone, hygiene=False))
        evaluation = _of_content(elm, value_sets, library, record, moment, first_dose)
        _show_definition(evaluation, record, str(library), definition, everything, form)
        return
    catalog = usable(lambda: Catalog.load(settings.plandefinitions, annotations=True))
    trial = _trial(catalog, trial_id)
    _check(criterion_ids, [criterion.id for criterion in trial.criteria], f"{trial.id} has no criterion")
    record = usable(lambda: PatientRecord.from_bundle(content, now=moment, timezone=zone))
    day = first_dose.date() if first_dose else moment.date()
    if definition is None:
        answer = explain(catalog, record, trial.id, now=moment, first_dose=day, criteria=criterion_ids)
        _print_json(_criteria_json(answer, record)) if form == "json" else _print_criteria(answer, record, everything)
        return
    owner = library or next(iter(trial.logic.values())).answer.library.id
    _check([owner], sorted(item.id for item in catalog.libraries), "there is no library")
    evaluation = traced_evaluation(catalog, record, [catalog.libraries[owner]], now=moment, first_dose=day)
    _show_definition(evaluation, record, owner, definition, everything, form)


def _of_content(
    elm: Path,
    value_sets: Path | None,
    library: str | None,
    record: PatientRecord,
    now: datetime,
    first_dose: datetime | None,
) -> TracedEvaluation:
    """A traced evaluation of a library of content written elsewhere; `first_dose` is its parameter First Dose."""
    from cds.authoring.evaluate import Content
    from cds.authoring.explain import traced_content

    if library is None:
        raise click.UsageError("--elm needs --library and --definition")
    content = usable(lambda: Content.load(elm, [library], value_sets))
    if library in content.refused:
        raise click.ClickException(str(content.refused[library]))
    return traced_content(content, record, now, {"First Dose": first_dose.date()} if first_dose else None)


def _show_definition(
    evaluation: TracedEvaluation, record: PatientRecord, library: str, name: str | None, everything: bool, form: str
) -> None:
    from cds.authoring.explain import explain_definition

    known = list(evaluation.libraries[library].definitions)
    if name is None:
        raise click.UsageError(f"--elm needs --definition; {library} has: {', '.join(known)}")
    _check([name], known, f"{library} has no definition")
    found = explain_definition(evaluation, record, library, name)
    _print_json(_definition_json(found, record)) if form == "json" else _print_definition(found, record, everything)


def _trial(catalog: Catalog, trial_id: str | None) -> Trial:
    found = catalog.trials.get(trial_id or "")
    if found is None:
        wrong = f"no trial {trial_id}" if trial_id else "name a trial with --trial"
        raise click.UsageError(f"{wrong}; there are: {', '.join(catalog.trials)}")
    return found


def _check(given: Iterable[str], known: list[str], wrong: str) -> None:
    if unknown := [name for name in given if name not in known]:
        raise click.UsageError(f"{wrong} {', '.join(unknown)}; there are: {', '.join(known)}")


# ---------------------------------------------------------------- JSON


def _print_json(content: dict[str, Any]) -> None:
    import orjson

    click.echo(orjson.dumps(content, option=orjson.OPT_INDENT_2))


def _criteria_json(answer: TrialExplanation, record: PatientRecord) -> dict[str, Any]:
    from cds.authoring.trace_json import TraceJson
    from cds.trials.eligibility import as_json

    head = as_json(answer.match)
    (trial,) = head.pop("trials")
    judged = {criterion["id"]: criterion for criterion in trial["criteria"]}
    steps = [step for given in answer.criteria for step in (given.step, given.applies) if step is not None]
    traces = TraceJson(steps, record)
    criteria = []
    for explanation in answer.criteria:
        told = judged[explanation.result.criterion.id] | {
            "because": explanation.because,
            "decidedBy": list(explanation.cited),
            "trace": traces.tree(explanation.step),
        }
        if explanation.applies is not None:
            told["appliesWhen"] = traces.tree(explanation.applies)
        criteria.append(told)
    return head | {"trial": trial["trial"], "criteria": criteria, "definitions": traces.definitions}


def _definition_json(found: Definition, record: PatientRecord) -> dict[str, Any]:
    from cds.authoring.trace_json import TraceJson

    traces = TraceJson([found.step], record)
    tree = traces.tree(found.step)
    told = {"because": found.because, "decidedBy": list(found.cited), "trace": tree}
    return told | {"definitions": traces.definitions}


# ---------------------------------------------------------------- tree

_OUTCOME_SIGNS = {
    "met": ("✓", "green"),
    "not-met": ("✗", "red"),
    "unknown": ("?", "yellow"),
    "not-applicable": ("–", "dim"),
}
_STYLES = {"✓": "green", "✗": "red", "?": "yellow", "!": "bold red", "+": "green", "-": "red", "–": "dim", "…": "dim"}


def _print_criteria(answer: TrialExplanation, record: PatientRecord, everything: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    told = f"{answer.trial.id}  {answer.match.patient}  evaluated {answer.match.evaluated_at}"
    console.print(Text(f"{told}, first dose {answer.match.first_dose}", style="bold"))
    files: dict[str, None] = {}
    for explanation in answer.criteria:
        console.print()
        _print_judgement(console, explanation)
        for step in filter(None, (explanation.applies, explanation.step)):
            files |= _print_tree(console, step, record, everything)
        _, style = _OUTCOME_SIGNS[explanation.result.outcome.value]
        _print_because(console, explanation.because, explanation.cited, style)
    _print_files(console, files)


def _print_definition(found: Definition, record: PatientRecord, everything: bool) -> None:
    from rich.console import Console

    from cds.authoring.explain import in_words

    console = Console(highlight=False)
    files = _print_tree(console, found.step, record, everything)
    value = "failed" if found.step.error else in_words(found.step.value, record)
    _print_because(console, f"{value} because {found.because}" if found.because else value, found.cited, "")
    _print_files(console, files)


def _print_judgement(console: Console, explanation: Explanation) -> None:
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
    if result.outcome.value == "unknown":
        facts.append(("ask", criterion.question or ""))
    for name, told in facts:
        if told:
            text = Text.assemble((f"{name}: ", "dim"), " ".join(told.split()))
            console.print(Padding(text, (0, 0, 0, 2), expand=False))


def _print_because(console: Console, because: str, cited: tuple[str, ...], style: str) -> None:
    from rich.text import Text

    console.print(Text(because, style=f"bold {style}".strip()))
    if cited:
        console.print(Text(f"decided by: {', '.join(cited)}", style=style))


def _print_files(console: Console, files: Iterable[str]) -> None:
    """The files that places name, in full: ``eligibility.cql`` is one of each trial."""
    from rich.text import Text

    console.print()
    for name in sorted(files):
        console.print(Text(f"{Path(name).name}: {name}", style="dim"), soft_wrap=True)


def _print_tree(console: Console, step: Step, record: PatientRecord, everything: bool) -> dict[str, None]:
    """Prints the tree; the files that it names."""
    from cds.authoring.outline import outline

    files: dict[str, None] = {}
    for guide, branch in _lines(outline(step, record, everything=everything)):
        console.print(_line(guide, branch, console.width), soft_wrap=True)
        if branch.file:
            files[branch.file] = None
    return files


def _lines(branch: Branch, guide: str = "", below: str = "") -> Iterator[tuple[str, Branch]]:
    """The lines of an outline with the guides before them."""
    yield guide, branch
    for position, child in enumerate(branch.children):
        last = position == len(branch.children) - 1
        yield from _lines(child, below + ("└ " if last else "├ "), below + ("  " if last else "│ "))


def _line(guide: str, branch: Branch, width: int) -> Text:
    """One line, its CQL shortened so that value and place fit the terminal beside it."""
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
        line.append("  ")
        line.append(branch.place, style=f"dim link {Path(branch.file).resolve().as_uri()}")
    return line
