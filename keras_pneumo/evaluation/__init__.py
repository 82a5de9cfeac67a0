"""Predictions to metrics, thresholds, plots and one report; no deep-learning framework needed."""
