"""Every rule that shows from outside has a test named after its number; the others say why they have none."""

from __future__ import annotations

import re
from pathlib import Path

#: Rules without a test here: those that no caller can see, and notes on rules that have one.
NOT_FROM_OUTSIDE = {
    4: "a note on rule 2: resources in actions are validated as FHIR (56)",
    21: "a note: pages are rule 36",
    29: "a time: benchmarks/ measures it",
    47: "a note: usageRequirements says R4",
    66: "a note: silence is never reported",
    82: "informative: our PlanDefinitions become cards, and prefetch is derived",
    83: "informative",
    84: "a note: legacy shapes are rules 27 and 39",
}


def test_every_rule_has_a_test_named_after_its_number() -> None:
    tested = {
        int(number)
        for path in Path(__file__).parent.glob("test_*.py")
        for number in re.findall(r"^def test_(\d\d)_", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert tested & NOT_FROM_OUTSIDE.keys() == set()
    assert tested | NOT_FROM_OUTSIDE.keys() == set(range(1, 85))
