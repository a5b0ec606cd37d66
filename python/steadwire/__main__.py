"""`python -m steadwire`."""

from steadwire.cli import main

raise SystemExit(main())
