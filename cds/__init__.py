"""Clinical decision support that finds a cancer trial for the patient whose chart is open."""
