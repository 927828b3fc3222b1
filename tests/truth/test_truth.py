"""What the engine says of random patients is what their facts say."""

from __future__ import annotations

import pytest

from cds.trials.catalog import Catalog

from .drawing import patients
from .judging import TRUTHS, Difference, Place, compare
from .rendering import bundle
from .test_findings import FINDINGS, OPEN

NUMBER, SEED = 300, 1

#: The criteria of the open findings (`test_findings`): whether random patients hit on one is chance.
_OPEN = {FINDINGS[name][0] for name in OPEN}
_MAY_BE_WRONG = pytest.mark.xfail(strict=False, reason="open finding")


@pytest.fixture(scope="module")
def differences(catalog: Catalog) -> dict[Place, Difference]:
    """The first difference of each criterion over some random patients."""
    first: dict[Place, Difference] = {}
    for patient, style in patients(NUMBER, SEED):
        for difference in compare(catalog, patient, bundle(patient, style), TRUTHS):
            first.setdefault(difference.place, difference)
    return first


def places() -> list[object]:
    """Every criterion of which a truth is computed; those with an open finding may be wrong."""
    return [
        pytest.param(
            (trial, criterion),
            id=f"{trial} {criterion}",
            marks=[_MAY_BE_WRONG] if (trial, criterion) in _OPEN else [],
        )
        for trial, criteria in TRUTHS.items()
        for criterion in criteria
    ]


@pytest.mark.parametrize("place", places())
def test_answers_are_the_truth(place: Place, differences: dict[Place, Difference]) -> None:
    """No wrong outcome, nothing unknown that the data decide, nothing presumed that is not."""
    assert place not in differences, str(differences.get(place))
