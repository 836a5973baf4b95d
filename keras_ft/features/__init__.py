"""Feature maps inside a model: which there are, and models that return them."""
