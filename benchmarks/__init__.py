"""Benchmarks, one module per question: ``python -m benchmarks.NAME [--json FILE]``."""
