from keras_ft.experiments.comparison import table
from keras_ft.experiments.comparison.results import MethodResult
from keras_ft.experiments.comparison.results import TrainingResult


def test_an_int8_mean_says_how_many_seeds_it_is_of():
    trainings = tuple(
        TrainingResult("ft", seed, f"ft-seed{seed}", None, 0.9, int8_accuracy=x)
        for seed, x in enumerate((0.91, 0.89, None))
    )
    for seeds, share in ((trainings[:2], ""), (trainings, " (2 of 3)")):
        method = MethodResult("ft", "FT", seeds)
        assert table.cells(method)["int8_seeds"] == 2
        assert f"90.00 %{share}  " in table.text([method])
        assert f"90.00{share} &" in table.latex([method])
