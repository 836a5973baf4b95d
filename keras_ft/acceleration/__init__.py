"""Make networks and layers faster that compute the same."""
