"""The cases of trials as one HTML page that needs nothing beside it: matrix, differences with why, coverage in the CQL.

All text is escaped, and the page's own policy forbids scripts and anything from elsewhere: what a chart or a CQL file
says stays text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby
from typing import Final

from cds.authoring.coverage import Clause, Define, LibraryCoverage, Tally, merged
from cds.authoring.ran import ERROR, Cell, Ran, Row, Told

_SIGNS: Final = {
    "met": "✓",
    "not-met": "✗",
    "unknown": "?",
    "not-applicable": "–",
    "eligible": "E",
    "potentially-eligible": "P",
    "ineligible": "I",
    ERROR: "!",
}
_CLASSES: Final = {
    "met": "m",
    "eligible": "m",
    "not-met": "n",
    "ineligible": "n",
    "unknown": "u",
    "potentially-eligible": "u",
    "not-applicable": "a",
    ERROR: "n",
}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light; font: 15px/1.45 system-ui, sans-serif; color: #1b1f24; background: #fff }
body { margin: 0 auto; padding: 1.5rem 2rem 4rem; max-width: 110rem }
h1 { font-size: 1.5rem; margin: 0 0 .3rem } h2 { font-size: 1.2rem; margin: 2.4rem 0 .4rem }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem }
a { color: #0b57d0 } small, .dim { color: #5b6570 } code, pre, .cql { font-family: ui-monospace, monospace }
table { border-collapse: collapse } th { text-align: left; font-weight: 600 }
.good { color: #116329 } .bad { color: #b3261e }
.sum td, .sum th { padding: .15rem .8rem .15rem 0; vertical-align: top } .num { text-align: right }
.scroll { overflow: auto; max-height: 80vh; border: 1px solid #d5dae0 }
.matrix { font-size: .8rem } .matrix td { width: 1.25em; min-width: 1.25em; height: 1.5em; padding: 0 }
.matrix td { text-align: center; border: 1px solid #fff; opacity: .4 }
.matrix thead th { position: sticky; top: 0; background: #fff; z-index: 1; writing-mode: vertical-rl }
.matrix thead th { font-weight: 400; color: #5b6570; padding: .2rem 0 }
.matrix tbody th { position: sticky; left: 0; background: #fff; z-index: 2; white-space: nowrap; padding: 0 .6rem }
.matrix tbody th small { font-weight: 400 } .matrix thead th:first-child { left: 0; z-index: 3 }
.matrix tr:hover td { border-color: #1b1f24 }
.m { background: #b8e6c4 } .n { background: #f6c1bc } .u { background: #fbe5a6 } .a { background: #dfe4ea }
.matrix td.s { opacity: 1 } .matrix td.d { opacity: 1; outline: 2px solid #b3261e; outline-offset: -2px }
.matrix td.d { font-weight: 700 } .matrix td.d a { color: inherit; text-decoration: none; display: block }
.key span { display: inline-block; padding: 0 .4rem; margin: 0 .6rem .3rem 0; border-radius: 3px }
.case { border-left: 4px solid #b3261e; padding: .1rem 0 .4rem 1rem; margin: .8rem 0 }
.case td, .case th { padding: .15rem 1rem .15rem 0; vertical-align: top } .why { max-width: 60rem }
details { margin: .6rem 0 } summary { cursor: pointer }
ol.names { columns: 28rem; margin: .4rem 0; padding-left: 3.2rem } ol.names .bad { font-weight: 600 }
.cql { font-size: .82rem; white-space: pre; tab-size: 2; margin: 0; border-spacing: 0 }
.cql td { padding: 0 .6rem 0 0; vertical-align: top } .cql td:first-child { color: #8a939d; text-align: right }
.cql td:first-child { user-select: none; padding-right: 1rem }
.r { background: #f6a8a1 } .b { background: #f9c58d } .t { background: #fbe08a } .f { background: #ffd1e8 }
.x { background: #d9b8ff } .o { background: #e3f4e8 } .w { background: #e3f4e8; box-shadow: inset 0 -2px #9cc3ea }
.bar { display: inline-block; width: 6rem; height: .6rem; background: #f0d5d2 }
.bar i { display: block; height: 100%; background: #5fb37c }
@media print { .scroll { max-height: none } }
"""


def page(results: Sequence[Ran], made: str) -> str:
    """The HTML page of some trials' cases; `made` says when and from what."""
    parts = [*_head(results, made)]
    for result in results:
        parts += _trial(result)
    parts += _coverage(merged(part for result in results for part in result.coverage))
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Cases</title>\n<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _head(results: Sequence[Ran], made: str) -> Iterator[str]:
    yield f"<h1>Cases</h1>\n<p class=dim>{escape(made)}</p>"
    yield "<table class=sum><tr><th>trial<th class=num>cases<th class=num>as expected<th class=num>own CQL covered</tr>"
    for result in results:
        number, good = len(result.outcomes), sum(outcome.as_expected for outcome in result.outcomes)
        covered = "".join(f"{library.share:.1%} {_bar(library.share)}" for library in result.own_coverage)
        yield (
            f'<tr><td><a href="#{_anchor(result)}">{escape(result.trial.id)}</a><td class=num>{number}'
            f'<td class="num {"good" if good == number else "bad"}">{good}<td class=num>{covered}</tr>'
        )
    yield "</table>"


def _bar(share: float) -> str:
    return f'<span class=bar><i style="width:{share:.0%}"></i></span>'


def _anchor(result: Ran, number: int | None = None) -> str:
    name = escape(result.trial.id, quote=True)
    return f"trial-{name}" if number is None else f"trial-{name}-{number}"


# ---------------------------------------------------------------- cases


def _trial(result: Ran) -> Iterator[str]:
    yield f'<h2 id="{_anchor(result)}">{escape(result.trial.title)}</h2>'
    yield f"<p class=dim>{escape(result.trial.id)}</p>"
    if not result.outcomes:
        yield "<p>It has no cases.</p>"
        return
    bad = len(result.told)
    yield (
        f"<p class=bad>{bad} of {len(result.outcomes)} cases are not as expected.</p>"
        if bad
        else f"<p class=good>All {len(result.outcomes)} cases are as expected.</p>"
    )
    for told in result.told:
        yield from _case(result, told)
    yield from _matrix(result)
    yield from _names(result)


def _case(result: Ran, told: Told) -> Iterator[str]:
    outcome = told.outcome
    yield f'<div class=case id="{_anchor(result, told.number)}"><h3>{told.number}&ensp;{escape(outcome.name)}</h3>'
    if outcome.case:
        moments = f"now {outcome.case.now.isoformat()}, first dose {outcome.case.first_dose}"
        yield f"<p class=dim>{escape(str(outcome.case.bundle))} · {escape(moments)}</p>"
    if outcome.problem:
        yield f"<p class=bad>{escape(outcome.problem)}</p>"
    if told.differences:
        yield "<table><tr><th>what<th>expected<th>actual<th>why it came out so</tr>"
        for one, why in told.differences:
            trial = "" if one.trial == result.trial.id else f"{escape(one.trial)} "
            yield (
                f"<tr><th>{trial}{escape(one.place)}<td class=good>{escape(str(one.expected))}"
                f"<td class=bad>{escape(str(one.actual))}<td class=why>{escape(why)}</tr>"
            )
        yield "</table>"
    yield "</div>"


def _matrix(result: Ran) -> Iterator[str]:
    yield (
        '<p class=key><span class="m">✓ met, E eligible</span><span class="n">✗ not met, I ineligible</span>'
        '<span class="u">? unknown, P potentially eligible</span><span class="a">– not applicable</span>'
        "<small>pale: the case expects nothing of it; framed: other than expected</small></p>"
    )
    names = [escape(outcome.name, quote=True) for outcome in result.outcomes]
    heads = "".join(f'<th title="{name}">{number}' for number, name in enumerate(names, 1))
    yield f"<div class=scroll><table class=matrix><thead><tr><th></th>{heads}</tr></thead><tbody>"
    for row in result.rows:
        yield _row(result, row)
    yield "</tbody></table></div>"


def _row(result: Ran, row: Row) -> str:
    cells = "".join(_cell(result, number, cell) for number, cell in enumerate(row.cells, 1))
    return f"<tr><th>{escape(row.id)} <small>{escape(row.title)}</small>{cells}</tr>"


def _cell(result: Ran, number: int, cell: Cell) -> str:
    classes = _CLASSES.get(cell.value, "") + (" s" if cell.asserted else "") + (" d" if cell.differs else "")
    sign = _SIGNS.get(cell.value, "")
    shown = f'<a href="#{_anchor(result, number)}">{sign}</a>' if cell.differs else sign
    return f'<td class="{classes.strip()}">{shown}'


def _names(result: Ran) -> Iterator[str]:
    yield f"<details><summary>The {len(result.outcomes)} cases by number</summary><ol class=names>"
    for outcome in result.outcomes:
        style = "" if outcome.as_expected else " class=bad"
        yield f"<li{style}>{escape(outcome.name)}"
    yield "</ol></details>"


# ---------------------------------------------------------------- coverage


def _coverage(libraries: Iterable[LibraryCoverage]) -> Iterator[str]:
    given = list(libraries)
    if not given:
        return
    yield "<h2>Coverage of the CQL</h2>"
    yield (
        "<p class=key><span class=o>run; if a condition, true, false and null</span>"
        "<span class=w>true and false, never null</span><span class=t>never true</span>"
        "<span class=f>never false</span><span class=b>only null</span><span class=r>never run</span>"
        "<span class=x>failed alone</span></p><p class=dim>A clause counts as run by a case only on the way to a "
        "criterion of which the case expects something. Point at a clause for its node and its place in the ELM.</p>"
    )
    for library in given:
        yield from _library(library)


def _library(library: LibraryCoverage) -> Iterator[str]:
    whole = Tally.of(library.clauses)
    yield f"<h3>{escape(library.library)} <small>{escape(str(library.path))}</small></h3>"
    yield (
        f"<p>{library.share:.1%} {_bar(library.share)} covered: {whole.run} of {whole.clauses} clauses were run; of "
        f"{whole.booleans} conditions {whole.both} were true and false, {whole.null} were null.</p>"
    )
    gaps = [define for define in library.defines if define.gaps]
    yield f"<details><summary>{len(gaps)} of {len(library.defines)} definitions have gaps</summary>"
    yield "<table class=sum><tr><th>definition<th class=num>covered<th class=num>run<th class=num>true and false"
    yield "<th class=num>null</tr>"
    yield from (_define(library, define) for define in gaps)
    yield "</table></details>"
    yield "<details open><summary>Source</summary><div class=scroll><table class=cql>"
    yield from _source(library)
    yield "</table></div></details>"


def _define(library: LibraryCoverage, define: Define) -> str:
    tally = Tally.of(define.clauses)
    unreached = "" if define.reached else " <small class=bad>no criterion rests on it</small>"
    return (
        f'<tr><td><a href="#{_line_anchor(library, define.line)}">{escape(define.name)}</a>{unreached}'
        f"<td class=num>{define.share:.0%} {_bar(define.share)}<td class=num>{tally.run}/{tally.clauses}"
        f"<td class=num>{tally.both}/{tally.booleans}<td class=num>{tally.null}/{tally.booleans}</tr>"
    )


def _line_anchor(library: LibraryCoverage, line: int) -> str:
    return f"{escape(library.library, quote=True)}-{line}"


def _source(library: LibraryCoverage) -> Iterator[str]:
    """The CQL, line by line, each character in the colour of the innermost clause that it stands in."""
    lines = library.text.splitlines()
    paint: list[list[Clause | None]] = [[None] * len(line) for line in lines]
    for clause in sorted(library.clauses, key=lambda one: (one.start, (-one.end[0], -one.end[1]))):
        (top, left), (bottom, right) = clause.start, clause.end
        for number in range(top, min(bottom, len(lines)) + 1):
            line = lines[number - 1]
            first = left - 1 if number == top else len(line) - len(line.lstrip())
            last = right if number == bottom else len(line)
            last = min(last, len(line))
            paint[number - 1][first:last] = [clause] * max(last - first, 0)
    anchors = {define.line for define in library.defines}
    for number, (line, colours) in enumerate(zip(lines, paint, strict=True), 1):
        anchor = f' id="{_line_anchor(library, number)}"' if number in anchors else ""
        yield f"<tr{anchor}><td>{number}<td>{''.join(_painted(line, colours))}</tr>"


def _painted(line: str, colours: Sequence[Clause | None]) -> Iterator[str]:
    place = 0
    for _, run in groupby(colours, key=id):
        given = list(run)
        text, clause = escape(line[place : place + len(given)]), given[0]
        place += len(given)
        if clause is None:
            yield text
        else:
            yield f'<span class={_colour(clause)} title="{escape(_told(clause), quote=True)}">{text}</span>'


def _colour(clause: Clause) -> str:
    if not clause.run:
        return "r"
    if clause.failed and not clause.gave:
        return "x"
    never = clause.gap
    if len(never) == 2:
        return "b"
    return {"true": "t", "false": "f"}[never[0]] if never else "w" if "null" in clause.never else "o"


def _told(clause: Clause) -> str:
    seen = f", was {' and '.join(clause.gave)}" if clause.boolean and clause.gave else ""
    never = f", never {', '.join(clause.never)}" if clause.never else ""
    failed = ", failed in some case" if clause.failed else ""
    return f"{clause.kind} {clause.locator}{seen}{never}{failed}"
