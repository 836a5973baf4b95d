"""`python -m keras_ft` is `keras-ft`."""

import sys

from keras_ft.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
