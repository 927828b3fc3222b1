"""``python -m tests.truth``: whether the engine says what is true, over many random patients."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
import orjson

from cds.trials.catalog import Catalog

from .drawing import patients
from .facts import Patient
from .judging import HEADINGS, TRUTHS, Difference, Place, Tally, compare
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
    first: dict[Place, tuple[Patient, Style, Difference]] = {}
    for patient, style in patients(number, seed):
        for difference in compare(catalog, patient, bundle(patient, style), trials, tally):
            first.setdefault(difference.place, (patient, style, difference))
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
    lines += [f"  {fact}" for fact in small.facts]
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{place[0]}-{place[1]}.json"
        path.write_bytes(orjson.dumps(bundle(small, style), option=orjson.OPT_INDENT_2))
        lines.append(f"  {path}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
