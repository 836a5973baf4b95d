"""Faster networks and layers that compute the same."""
