"""What a `tf.distribute` strategy can run, asked before the first step.

Keras 3 runs into most of this too, but within a step and in other words.
Without a strategy, and on other backends, next to nothing is looked at.
"""

from keras_ft.validation.strategy_checks.calls import (
    check_evaluate as check_evaluate,
)
from keras_ft.validation.strategy_checks.calls import check_fit as check_fit
from keras_ft.validation.strategy_checks.calls import (
    check_inference as check_inference,
)
from keras_ft.validation.strategy_checks.calls import (
    check_training as check_training,
)
from keras_ft.validation.strategy_checks.calls import (
    explained_errors as explained_errors,
)
from keras_ft.validation.strategy_checks.scope import (
    check_construction as check_construction,
)
from keras_ft.validation.strategy_checks.strategy import current as current
