import pickle

from keras_ft.export.conversion import UnsupportedOpsError


def test_the_error_lists_the_operations_and_survives_a_process_border():
    error = UnsupportedOpsError(("BesselI0", "MatrixInverse"))
    copy = pickle.loads(pickle.dumps(error))
    assert copy.operations == ("BesselI0", "MatrixInverse")
    assert str(copy) == str(error)
    assert "BesselI0, MatrixInverse" in str(copy)
