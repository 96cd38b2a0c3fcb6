"""Whole tasks in a few lines."""
