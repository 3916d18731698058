"""`python -m ae_lightning` is `ae-lightning`."""

import sys

from ae_lightning.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
