"""`python -m virtuoso.cli`, where the script is not on the path."""

import sys

from virtuoso.cli import main

sys.exit(main())
