"""How R4 finds a patient's resources of each type: one plain query, by the type's own search parameter."""

from __future__ import annotations

#: R4 resource types that have the search parameter `patient` (FHIR 4.0.1, search parameter registry).
_BY_PATIENT = frozenset(
    """
    Account AllergyIntolerance Appointment AppointmentResponse AuditEvent Basic BodyStructure CarePlan CareTeam
    ChargeItem Claim ClaimResponse ClinicalImpression Communication CommunicationRequest Composition Condition Consent
    Contract Coverage CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device DeviceRequest
    DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference Encounter EnrollmentRequest EpisodeOfCare
    ExplanationOfBenefit FamilyMemberHistory Flag Goal GuidanceResponse ImagingStudy Immunization
    ImmunizationEvaluation ImmunizationRecommendation Invoice List MeasureReport Media MedicationAdministration
    MedicationDispense MedicationRequest MedicationStatement MolecularSequence NutritionOrder Observation Person
    Procedure Provenance QuestionnaireResponse RelatedPerson RequestGroup RiskAssessment ServiceRequest Specimen
    SupplyDelivery Task VisionPrescription
    """.split()  # noqa: SIM905 - a page of quotation marks reads worse
)
#: The other parameters by which R4 finds a patient's resources. Where a parameter may name several types, the type
#: is written out, since a bare id would be ambiguous (FHIR 4.0.1, 3.1.1.4.13).
_OTHERWISE = {
    "AdverseEvent": "subject=Patient/{id}",
    "Group": "member=Patient/{id}",
    "ResearchSubject": "individual={id}",
    "Schedule": "actor=Patient/{id}",
    "SupplyRequest": "subject=Patient/{id}",
}


def of_patient(kind: str, patient_id: str) -> str | None:
    """The query for a patient's resources of a type; None where R4 has no way to search by patient.

    >>> of_patient("Condition", "123"), of_patient("ResearchSubject", "123"), of_patient("Medication", "123")
    ('Condition?patient=123', 'ResearchSubject?individual=123', None)
    """
    if kind == "Patient":
        return f"Patient/{patient_id}"
    if kind in _BY_PATIENT:
        return f"{kind}?patient={patient_id}"
    return f"{kind}?{_OTHERWISE[kind].format(id=patient_id)}" if kind in _OTHERWISE else None
