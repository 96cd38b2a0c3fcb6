"""Timings; the figures that were measured lie in results/."""
