"""The teacher's outputs, computed once and used by many trainings."""

# Known to `keras.models.load_model` from here on.
from keras_ft.feature_cache.cached_teacher import CachedOutput as CachedOutput
from keras_ft.feature_cache.feature_cache import FeatureCache as FeatureCache
