"""Where the command line begins; ``python -m snl_edge`` is the same as ``snl-edge``."""

from __future__ import annotations

import sys

from snl_edge.stopping import raise_on_signals, status_of


def main() -> None:
    """Runs a command. Signals are seen to before the rest is imported, which takes a while on a small device."""
    raise_on_signals()
    try:
        from snl_edge.cli import main as run

        run()
    except KeyboardInterrupt as stop:
        print("snl-edge: interrupted.", file=sys.stderr)
        sys.exit(status_of(stop))


if __name__ == "__main__":
    main()
