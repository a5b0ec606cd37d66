"""Entry of `python demo`; see `demo.run`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Makes the project's folders importable, then runs the demo."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
    from demo.run import run_from_command_line

    return run_from_command_line()


if __name__ == "__main__":
    sys.exit(main())
