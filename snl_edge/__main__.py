"""``python -m snl_edge`` is the same as ``snl-edge``."""

from snl_edge.cli import main

main()
