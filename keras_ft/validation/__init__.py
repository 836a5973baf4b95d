"""Checks of models, data and settings, before the first training step."""
