"""``python -m tests.truth``: whether the engine says what is true, over many random patients."""

from __future__ import annotations

import sys
import time
from dataclasses import fields
from enum import Enum
from pathlib import Path

import click
import orjson

from cds.trials.catalog import Catalog

from .concepts import Concept
from .dates import When
from .drawing import patients
from .facts import Fact, Patient
from .judging import HEADINGS, TRUTHS, Difference, Place, Tally, Verdict, compare
from .rendering import Style, bundle
from .shrinking import shrunk

ROOT = Path(__file__).resolve().parent.parent.parent


@click.command()
@click.option("--patients", "number", default=2000, show_default=True, help="How many random patients.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same patients.")
@click.option("--trial", "trials", multiple=True, type=click.Choice(tuple(TRUTHS)), help="Only this trial; repeats.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the smallest patient of each difference.")
def main(number: int, seed: int, trials: tuple[str, ...], out: Path | None) -> None:
    """Draws random patients and says of each criterion how often its answer is the truth; exit 1 where one is not."""
    trials = trials or tuple(TRUTHS)
    began = time.monotonic()
    catalog = Catalog.load(ROOT / "plandefinitions")
    tally = Tally()
    first: dict[tuple[Place, Verdict], tuple[Patient, Style, Difference]] = {}
    for patient, style in patients(number, seed):
        for difference in compare(catalog, patient, bundle(patient, style), trials, tally):
            first.setdefault((difference.place, difference.verdict), (patient, style, difference))
    click.echo(table(tally))
    for patient, style, difference in first.values():
        click.echo(_shown(catalog, patient, style, difference, out))
    click.echo(f"{number} patients, seed {seed}, {time.monotonic() - began:.0f} s")
    sys.exit(1 if tally.wrong() else 0)


def table(tally: Tally) -> str:
    """The tally in columns, a line per criterion, totals last."""
    rows = [("trial", "criterion", *HEADINGS), *((trial, id_, *map(str, n)) for trial, id_, n in tally.rows())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) if place < 2 else cell.rjust(width) for place, (cell, width) in _cells(row, widths))
        for row in rows
    )


def _cells(row: tuple[str, ...], widths: list[int]) -> enumerate[tuple[str, int]]:
    return enumerate(zip(row, widths, strict=True))


def _shown(catalog: Catalog, patient: Patient, style: Style, difference: Difference, out: Path | None) -> str:
    """A difference on its smallest patient, who is written to `out`."""
    place = difference.place

    def found(smaller: Patient) -> Difference | None:
        differences = compare(catalog, smaller, bundle(smaller, style), (place[0],))
        return next((one for one in differences if one.place == place and one.verdict is difference.verdict), None)

    small = shrunk(patient, lambda smaller: found(smaller) is not None)
    lines = [f"\n{found(small)}", f"  now {small.now:%Y-%m-%d}, first dose {small.first_dose}"]
    lines += [f"  {_told(fact)}" for fact in small.facts]
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{place[0]}-{place[1]}-{difference.verdict.name.lower()}.json"
        path.write_bytes(orjson.dumps(bundle(small, style), option=orjson.OPT_INDENT_2))
        lines.append(f"  {path}")
    return "\n".join(lines)


def _told(fact: Fact) -> str:
    """A fact in one line, without what it leaves at its default."""
    parts = [
        f"{one.name} {_word(getattr(fact, one.name))}" for one in fields(fact) if _said(fact, one.name, one.default)
    ]
    return f"{type(fact).__name__}: {', '.join(parts)}"


def _said(fact: Fact, name: str, default: object) -> bool:
    return name != "key" and getattr(fact, name) != default


def _word(value: object) -> str:
    if isinstance(value, When):
        return value.text
    return value.name.lower() if isinstance(value, Concept | Enum) else str(value)


if __name__ == "__main__":
    main()
