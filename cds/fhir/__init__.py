"""The data: a patient's FHIR R4 resources, the types they are of, and the value sets they are matched with."""

from cds.fhir.model import Element, FHIRModel
from cds.fhir.narrative import describe
from cds.fhir.record import PatientRecord
from cds.fhir.valuesets import ValueSets

__all__ = ["Element", "FHIRModel", "PatientRecord", "ValueSets", "describe"]
