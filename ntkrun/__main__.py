"""`python -m ntkrun` is `ntkrun`."""

import sys

from ntkrun.cli import main

sys.exit(main())
