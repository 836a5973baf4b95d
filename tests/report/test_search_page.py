import pytest

from keras_ft.recipes import Recipe
from keras_ft.report import search_page

RATES = [0.5, 1.0]


@pytest.mark.parametrize(
    ("preset", "changes", "rates", "betas", "told"),
    [
        ("official", {}, RATES, None, True),
        ("official", {}, [0.5], None, False),
        ("official", {}, None, None, False),
        ("official", {}, RATES, [1.0, 2.0], False),
        ("official", {"reduction": "sum"}, RATES, None, False),
        # Attention maps, whose size does not depend on the rate.
        ("repdistiller", {}, RATES, None, False),
    ],
)
def test_one_beta_is_told_where_it_pulls_unlike(
    preset, changes, rates, betas, told
):
    recipe = Recipe.preset(preset).replace(**changes).to_dict()
    settings = {"recipe": recipe, "rates": rates, "betas": betas}
    assert bool(search_page.about_beta(settings)) == told
