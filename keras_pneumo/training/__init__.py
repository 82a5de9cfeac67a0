"""The two-phase recipe, in a run directory that survives interruptions."""
