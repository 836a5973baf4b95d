"""Published training settings, complete, in code, with their sources."""

from keras_ft.recipes.recipe import Recipe as Recipe
