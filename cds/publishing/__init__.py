"""What the service runs, for others to fetch and try: its trials, logic and codes as FHIR R4 resources at ``/fhir``."""
