"""What each role may do. A path that is not named here is an engineer's, so a new one is closed to the others."""

from __future__ import annotations

from ..stream.config.dashboard_settings import Role

MACHINES = frozenset({"/health", "/metrics", "/api/trigger"})
"""What machines ask."""
READING = frozenset({"GET", "HEAD"})
_OPERATING = frozenset(
    {"/api/acknowledge", "/api/order", "/api/pause", "/api/recipe", "/api/self-test", "/api/trigger"}
)


def allows(role: Role, method: str, path: str) -> bool:
    """Whether ``role`` may send such a request.

    A machine may trigger, and read health and metrics. A viewer may read everything, an operator may pause, set
    order and recipe, test, acknowledge and trigger as well, an engineer may do everything.
    """
    if role == "engineer" or path == "/api/logout":
        return True
    if role == "machine":
        return path in MACHINES
    return method in READING or (role == "operator" and path in _OPERATING)


def changes(role: Role) -> list[str]:
    """Paths by which ``role`` may change the line, for the page to show what is of use."""
    every = (*sorted(_OPERATING), "/api/shadow", "/api/threshold")
    return [path for path in every if allows(role, "POST", path)]
