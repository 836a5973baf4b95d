"""The Keras models that train with a frozen teacher."""
