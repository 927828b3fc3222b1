"""Patients made from facts whose truth is known, and whether the engine says of each what is true.

An atomic fact ("platelet transfusion on day D") is drawn, its meaning for each criterion computed in plain Python
from the fact alone, and the same fact rendered as FHIR in one of the ways in which charts write it. What the engine
makes of the FHIR must be what the facts say. Nothing here reads CQL.
"""
