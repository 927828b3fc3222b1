"""Rules that compile the ELM nodes which are no plain operators: lazy, scoped, referring, or reading patient data."""
