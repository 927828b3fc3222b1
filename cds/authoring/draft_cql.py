"""The CQL of a draft trial: a define for each criterion, with its text and what the draft says of it above."""

from __future__ import annotations

import textwrap

from cds.authoring.criteria_text import EXCLUSION, INCLUSION, CriterionText
from cds.authoring.draft_plan import SHARED
from cds.authoring.draft_trial import DraftTrial
from cds.authoring.drafting import Draft


def eligibility_cql(trial: DraftTrial) -> str:
    """The text of eligibility.cql."""
    title = _comment_text(trial.record.title.value)
    lines = [
        "/*",
        *textwrap.wrap(f"{title}: a draft made from its registry record.", 118),
        "",
        "One Boolean per criterion: I and E are the record's inclusions and exclusions by their numbers, C and R",
        "come from its other fields. An inclusion lets a patient in when true, an exclusion keeps her out when",
        "true. Null: the record does not decide. What could not be drafted is null, and says what to write.",
        "",
        "Every look-back window ends at the planned first dose and is closed at its bound.",
        "*/",
        f"library {trial.library_name} version '0.1.0'",
        "",
        "using FHIR version '4.0.1'",
        "",
        "include FHIRHelpers version '4.0.1'",
        *(f"include {name} version '1.0.0'" for name in SHARED),
        "",
        "context Patient",
        "",
    ]
    defined: set[str] = set()
    for kind in (INCLUSION, EXCLUSION):
        if trial.criteria.of(kind):
            lines += [f"// {'=' * (94 - len(kind))} {kind} criteria", ""]
        for one, made in trial.drafts:
            if one.kind == kind:
                lines += _defines(one, made, defined)
    return "\n".join(lines).rstrip() + "\n"


def _defines(one: CriterionText, made: Draft, defined: set[str]) -> list[str]:
    """The definitions of a criterion, with its text and what the draft says of it above them."""
    lines = [f"// {'-' * 112}"]
    lines += _comment(f"{one.id}. {' '.join(one.text.split())}")
    lines.append("//")
    lines += [line for part in made.comment.split("\n") for line in _comment(part)]
    for name, expression in made.verified_by:
        if name not in defined:
            defined.add(name)
            lines += [f'define "{name}":', f"  {expression}", ""]
    for name, text, part in made.parts:
        lines += ["", *_comment(" ".join(text.split())), *_comment(part.comment.split("\n")[0])]
        lines += [f'define "{name}":', f"  {part.expression or 'null as Boolean'}"]
    if made.parts:
        lines.append("")
    return [*lines, f'define "{one.id}":', f"  {made.expression or 'null as Boolean'}", ""]


def _comment(text: str) -> list[str]:
    return [f"// {line}" for line in textwrap.wrap(text, 114, break_long_words=False, break_on_hyphens=False)]


def _comment_text(text: str) -> str:
    return " ".join(text.replace("*/", "* /").split())
