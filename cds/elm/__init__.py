"""The language: compiled CQL (ELM JSON) in, CQL values out. Knows no trial, no FHIR and no HTTP."""

from __future__ import annotations

from cds.elm.evaluation import Evaluation
from cds.elm.library import Definition, Libraries, Library, Retrieval, resting_on, retrievals

__all__ = ["Definition", "Evaluation", "Libraries", "Library", "Retrieval", "resting_on", "retrievals"]
