"""Open files: the line's own come first, what the network may use of them is what is left.

Where there is no descriptor left, a picture cannot be written, a camera cannot be opened and a sink cannot connect. So
the dashboard gets a cap on its connections that leaves enough for everything else.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

from ..errors import ConfigError
from ..stream.config.line_config import LineConfig
from ..stream.control.interface import Check
from ..stream.outputs.sinks import OpcUaSink

_BASE = 160
"""Python and its libraries, a GPU's driver (some forty), journal, pictures, the readers of the dashboard's threads."""
_CAMERA = 8
_OUTPUT = 8
"""Of a sink or actuator: its connection and its reader of the journal."""
_MACHINES = 64
_FEWEST = 16
"""With fewer connections a single browser would find no room."""
_ENOUGH = 65_536
"""Where a hard limit is endless, some libraries walk through all of it."""


def raise_limit() -> None:
    """Lifts this process's soft limit of open files to the hard one, which needs no right."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@dataclass(frozen=True)
class Descriptors:
    """How a process's descriptors are divided."""

    limit: int
    line: int
    """Kept for the line itself."""
    wanted: int
    """Connections that the dashboard's settings allow."""

    @classmethod
    def of(cls, config: LineConfig) -> Descriptors:
        """Those of this process with its hard limit, for a line.

        Raises:
            ConfigError: there are too few for it.
        """
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
        line = _BASE + _CAMERA * len(config.cameras) + _OUTPUT * (len(config.sinks) + len(config.actuators))
        line += sum(sink.clients for sink in config.sinks if isinstance(sink, OpcUaSink))
        wanted = 0
        if config.dashboard is not None:
            wanted = config.dashboard.connections
            line += _MACHINES if config.dashboard.machines is not None else 0
        found = cls(limit, line, wanted)
        least = line + min(wanted, _FEWEST)
        if limit < least:
            raise ConfigError(
                f"this process may open {limit} files, and the line needs {least}",
                "pictures, sinks or cameras would fail when the dashboard has many visitors",
                f"raise the hard limit: LimitNOFILE={line + wanted} in the systemd unit, or ulimit -n",
            )
        return found

    @property
    def connections(self) -> int:
        """What the dashboard gets."""
        return min(self.wanted, self.limit - self.line)

    @property
    def text(self) -> str:
        """One line."""
        said = f"{self.limit:,} may be open, {self.line} are kept for the line, {self.connections} for the dashboard"
        if self.connections == self.wanted:
            return said
        return f"{said} instead of {self.wanted}: raise the hard limit to {self.line + self.wanted} (LimitNOFILE)"

    def checks(self) -> list[Check]:
        """Its line on the health page, where they are scarce."""
        return [] if self.connections == self.wanted else [Check("open files", "warning", self.text)]
