"""The judge itself: what it calls wrong, when it lets pass, and how it counts."""

from __future__ import annotations

from datetime import date

import pytest
from click.testing import CliRunner

from cds.trials.catalog import Catalog

from . import locally_advanced
from .__main__ import main
from .answers import MET, NOT_APPLICABLE, NOT_MET, PRESUMED_MET, UNKNOWN, Answer
from .clearing import clears_on
from .concepts import PROCEDURES, named
from .facts import Operation, Patient
from .judging import Tally, Verdict, compare, verdict
from .rendering import bundle
from .shrinking import shrunk
from .test_findings import CERVIX, STYLES, on, patient

TRIAL = locally_advanced.TRIAL
TRANSFUSED = Operation(what=named(PROCEDURES, "platelet transfusion"), when=on("2026-10-23"))


@pytest.mark.parametrize(
    ("said", "true", "seen"),
    [
        (MET, MET, Verdict.RIGHT),
        (UNKNOWN, UNKNOWN, Verdict.RIGHT),
        (PRESUMED_MET, Answer("met", None), Verdict.RIGHT),
        (MET, NOT_MET, Verdict.WRONG_VERIFIED),
        (NOT_MET, UNKNOWN, Verdict.WRONG_VERIFIED),
        (MET, PRESUMED_MET, Verdict.WRONG_VERIFIED),
        (MET, NOT_APPLICABLE, Verdict.WRONG_VERIFIED),
        (UNKNOWN, NOT_MET, Verdict.UNKNOWN_THOUGH_DECIDED),
        (UNKNOWN, PRESUMED_MET, Verdict.UNKNOWN_THOUGH_DECIDED),
        (PRESUMED_MET, NOT_MET, Verdict.PRESUMED_WRONGLY),
        (PRESUMED_MET, UNKNOWN, Verdict.PRESUMED_WRONGLY),
        (PRESUMED_MET, MET, Verdict.PRESUMED_WRONGLY),
    ],
)
def test_verdict(said: Answer, true: Answer, seen: Verdict) -> None:
    """Each way of being wrong has its name."""
    assert verdict(said, true) is seen


def test_a_wrong_truth_is_seen(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the window one day shorter than the truth says, both the outcome and the day would differ."""
    woman = patient(CERVIX, TRANSFUSED)
    content = bundle(woman, STYLES[0])
    assert not compare(catalog, woman, content, (TRIAL,))

    def shorter(one: Patient) -> Answer:
        return locally_advanced.transfusion(one.with_first_dose(date.fromordinal(one.first_dose.toordinal() + 1)))

    monkeypatch.setitem(locally_advanced.CRITERIA, "E11", shorter)
    (seen,) = (one for one in compare(catalog, woman, content, (TRIAL,)) if one.criterion == "E11")
    assert seen.verdict is Verdict.WRONG_VERIFIED


def test_day_of_clearing() -> None:
    """Four weeks are closed at their bound: of a transfusion on 23 October the 21st of November is clear."""
    truth = locally_advanced.transfusion
    assert clears_on(patient(TRANSFUSED), "E11", truth) == date(2026, 11, 21)
    assert clears_on(patient(Operation(what=TRANSFUSED.what, when=None)), "E11", truth) is None


def test_smallest_patient() -> None:
    """What can be left out is left out, and what matters stays."""
    woman = patient(CERVIX, TRANSFUSED)
    small = shrunk(woman, lambda one: locally_advanced.transfusion(one) == NOT_MET)
    assert [type(fact).__name__ for fact in small.facts] == ["Person", "Operation"]


def test_totals() -> None:
    """Each criterion has a row of its own, and the last row adds them up."""
    tally = Tally()
    tally.add(("a", "I1"), MET, Verdict.RIGHT)
    tally.add(("a", "I1"), UNKNOWN, Verdict.UNKNOWN_THOUGH_DECIDED)
    tally.add(("b", "C1"), NOT_MET, Verdict.WRONG_VERIFIED)
    assert list(tally.rows()) == [
        ("a", "I1", (2, 1, 0, 1, 0, 0, 1, 0, 0)),
        ("b", "C1", (1, 0, 1, 0, 0, 1, 0, 0, 0)),
        ("all", "", (3, 1, 1, 1, 0, 1, 1, 0, 0)),
    ]
    assert tally.wrong() == 2


def test_command() -> None:
    """The command prints a row for each criterion of the trial that is asked for, and exits 0 where all is right."""
    run = CliRunner().invoke(main, ["--patients", "5", "--trial", "cadonilimab-lenvatinib-hcc"])
    assert run.exit_code == 0, run.output
    assert "CV1" in run.output
    assert "E11" not in run.output
