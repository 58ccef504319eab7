"""Run the command line for `python -m ntkrun`."""

import sys

from ntkrun.cli.main import main

sys.exit(main())
