"""The thresholds in force, numbered: every set of them that ever decided is in the audit."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...runtime.bundle import Bundle, changed_elsewhere
from ...runtime.thresholds import Thresholds
from ...runtime.tuning import require_confirmed, tuning_of, unusual
from ..journal.journal import AuditEntry, Journal
from .choices import moment

ACTION = "threshold"


class InForceNow(NamedTuple):
    """What `thresholds_in_force` found."""

    version: int
    told: str
    """Whose they are, in words; nothing where they are as training chose them."""


def thresholds_in_force(journal: Journal, bundle: Bundle, actor: str) -> InForceNow:
    """The version of the bundle's thresholds; a new one if they are not those that the audit knows last.

    They differ at the first start, with another recipe, and when someone changed them while the line stood still.
    The bundle is where they live: the audit says who set them.
    """
    latest = journal.latest_audit(ACTION)
    current = _thresholds(bundle)
    known = latest is not None and {name: latest.detail.get(name) for name in current} == current
    if not known:
        journal.audit(actor, ACTION, **current)
    return InForceNow(journal.count_audits(ACTION), _told(latest, known, bundle))


def _told(latest: AuditEntry | None, known: bool, bundle: Bundle) -> str:
    tuning, changes = tuning_of(bundle.manifest), bundle.history.changes
    last = f" (last by {changes[-1].author})" if changes else ""
    if latest is not None and not known and latest.detail.get("recipe") == bundle.manifest.name:
        return (
            f"those in {bundle.path} ({tuning or 'as training chose them'}) are not those that this line had in force "
            f"last, noted by {latest.actor} on {moment(latest.time)}: they were changed elsewhere{last}, "
            "or the bundle was"
        )
    if latest is not None and known and tuning and latest.actor != "start":
        return f"{tuning}, set by {latest.actor} on {moment(latest.time)}"
    return (
        f"{', '.join(_set_by(bundle, one) for one in tuning.thresholds.single())}, in {bundle.path}" if tuning else ""
    )


def _set_by(bundle: Bundle, single: Thresholds) -> str:
    change = bundle.history.last(single)
    return f"{single} set by {change.author if change else 'hand'}"


class Asked(NamedTuple):
    """A threshold that somebody wants."""

    value: float
    product: str | None
    changed: Bundle
    """With it, not yet written."""
    odd: str
    """What is unusual about it, in words; nothing where nothing is."""


def asked_threshold(bundle: Bundle, value: float, product: str | None, confirmed: bool) -> Asked:
    """A threshold as it would be set; nothing is changed yet.

    Raises:
        ConfigError: the value or the product cannot be, or the value is not a usual one and was not confirmed; or the
            file was changed since the bundle was loaded, and that change would be undone.
        BundleError: the file cannot be read any more.
    """
    if Bundle.peek(bundle.path).manifest != bundle.manifest:
        raise changed_elsewhere(bundle.path)
    changed = bundle.with_threshold(value, product)
    odd = unusual(bundle.manifest, product, value)
    require_confirmed(odd, confirmed)
    return Asked(value, product, changed, odd)


def set_threshold(journal: Journal, bundle: Bundle, asked: Asked, actor: str, golden: str | None) -> Bundle:
    """Sets a threshold and puts the change on record: first the audit, so that no change goes without.

    The bundle's history names ``actor``, too.

    Args:
        bundle: with the thresholds in force.
        golden: what the golden samples said of it; None where they were not asked.

    Returns:
        the bundle with the threshold in force.

    Raises:
        ConfigError, BundleError: thresholds were set elsewhere meanwhile, or the bundle was built again.
        OutputError: the bundle cannot be written; the audit then says so, too.
        sqlite3.Error: the audit cannot be written; nothing has changed.
    """
    more = ({"confirmed": asked.odd} if asked.odd else {}) | ({"golden": golden} if golden else {})
    journal.audit(actor, ACTION, **_thresholds(asked.changed), product=asked.product, value=asked.value, **more)
    try:
        return asked.changed.save(by=actor, over=bundle)
    except BaseException:
        journal.audit(actor, ACTION, **_thresholds(bundle), failed=True)
        raise


def _thresholds(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "recipe": manifest.name,
        "threshold": manifest.threshold,
        "product_thresholds": dict(manifest.product_thresholds),
        "unknown_limit": manifest.unknown_limit,
    }
