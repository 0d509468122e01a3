"""The thresholds in force, numbered: every set of them that ever decided is in the audit."""

from __future__ import annotations

from typing import Any

from ..runtime.bundle import Bundle
from ..runtime.tuning import require_confirmed, unusual
from .journal import Journal

ACTION = "threshold"


def thresholds_in_force(journal: Journal, bundle: Bundle, actor: str) -> int:
    """The version of the bundle's thresholds; a new one if they are not those that the audit knows last.

    They differ at the first start, with another recipe, and when someone changed them while the line stood still.
    """
    latest = next((entry for entry in journal.audits(10_000) if entry.action == ACTION), None)
    current = _thresholds(bundle)
    if latest is None or {name: latest.detail.get(name) for name in current} != current:
        journal.audit(actor, ACTION, **current)
    return journal.count_audits(ACTION)


def set_threshold(
    journal: Journal, bundle: Bundle, value: float, product: str | None, actor: str, confirmed: bool
) -> Bundle:
    """Sets a threshold and puts the change on record: first the record, so that no change goes without.

    Raises:
        ConfigError: the value or the product cannot be, or the value is not a usual one and was not confirmed.
        OutputError: the bundle cannot be written; the record then says so, too.
        sqlite3.Error: the record cannot be written; nothing has changed.
    """
    changed = bundle.with_threshold(value, product)
    odd = unusual(bundle.manifest, product, value)
    require_confirmed(odd, confirmed)
    journal.audit(
        actor, ACTION, **_thresholds(changed), product=product, value=value, **({"confirmed": odd} if odd else {})
    )
    try:
        changed.save()
    except BaseException:
        journal.audit(actor, ACTION, **_thresholds(bundle), failed=True)
        raise
    return changed


def _thresholds(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "recipe": manifest.name,
        "threshold": manifest.threshold,
        "product_thresholds": dict(manifest.product_thresholds),
        "unknown_limit": manifest.unknown_limit,
    }
