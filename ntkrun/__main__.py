"""`python -m ntkrun` is `ntkrun`."""

import sys

from ntkrun.cli.main import main

sys.exit(main())
