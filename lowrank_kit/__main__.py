"""`python -m lowrank_kit` is the same as `lowrank-kit`."""

from lowrank_kit.cli import main

raise SystemExit(main())
