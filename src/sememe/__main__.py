"""`python -m sememe` is `sememe`."""

import sys

from sememe.cli import main

sys.exit(main())
