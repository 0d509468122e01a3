"""`snl-edge stream check`: a line's file in plain words, and whether what it names is there and works."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from ..errors import CameraError, ConfigError, DataError, SnlEdgeError
from ..extras import installed
from ..image import DepthWatch, to_uint8
from ..opencv import opencv
from ..runtime.frame import misfit
from ..runtime.manifest import FILE as MANIFEST
from ..runtime.manifest_file import read_manifest
from ..runtime.tuning import standing_doubts
from ..stream.capture.camera_settings import CameraSettings, check_region, ignored_pixels
from ..stream.capture.prepare import inspected
from ..stream.capture.triggers import EveryFrame, Gpio, Hardware, Interval, TriggerSettings
from ..stream.config.line_config import LineConfig
from ..stream.journal.kept_files import lost_journal
from ..stream.journal.schema import FILE
from ..stream.outputs.actuators.actuator_settings import ActuatorSettings
from ..stream.outputs.sinks import MqttSink, PicturesSink
from ..stream.pipeline.golden import KnownBundles, golden_samples, leaving_out, of_no_bundle, sample_folder
from ..stream.pipeline.recipe import Recipe
from ..stream.sources import open_source
from ..stream.sources.base import EndOfPictures, Source
from ..stream.sources.opencv import require_gstreamer
from ..stream.steering.choices import choices_in
from ..stream.steering.taken_up import NAMES, counting, told
from ..stream.timing import clock_synchronised
from ..table import print_table, text_column
from .open_files import Descriptors
from .ports import hold, listening, reach, server_of

_WAITS = 20


@dataclass(frozen=True)
class Finding:
    """One line of the explanation."""

    subject: str
    works: bool | None
    """None where it was only explained, not tried."""
    text: str


def check_line(config: LineConfig, *, connect: bool) -> list[Finding]:
    """Explains a line and tries what can be tried; moves nothing and writes nothing but the journal's folder.

    Args:
        config: the line.
        connect: also open cameras and connect to brokers and servers, which a running line may hold.
    """
    given = config.bundle
    found, config = _as_kept(config)
    found += [_opencv(config), _tried("recipe", lambda: _recipe(config))]
    for camera in config.cameras:
        found += _camera(config, camera, connect)
    found.append(Finding("queue", None, _queue(config)))
    found.append(Finding("verdicts", None, _rules(config)))
    found.append(_tried("journal", lambda: _journal(config)))
    for kind, outputs in (("sink", config.sinks), ("actuator", config.actuators)):
        for output in outputs:
            name = f"{kind} {output.name or output.type}"
            sparkplug = isinstance(output, MqttSink) and output.sparkplug is not None and installed("paho")
            found.append(_module(name, "sparkplug" if sparkplug else output.type))
            if isinstance(output, PicturesSink):
                found.append(_tried(f"{name} folder", lambda own=output: _target(own)))
            if connect and (address := server_of(output)):
                found.append(_tried(f"{name} server", lambda address=address: reach(*address)))
    for actuator in config.actuators:
        found.append(
            _tried(f"actuator {actuator.name or actuator.type} time", lambda own=actuator: _in_time(config, own))
        )
    found += [_clock(), _tried("dashboard", lambda: _dashboard(config))]
    found.append(_tried("open files", lambda: Descriptors.of(config).text))
    found += [
        _tried(f"{name} port", lambda address=address: hold(*address)) for name, address in listening(config).items()
    ]
    if config.golden is not None:
        found.append(_tried("self-test", lambda: _golden(config, given)))
    return found


def _as_kept(config: LineConfig) -> tuple[list[Finding], LineConfig]:
    """What people chose on the line and what counts at its next start, and the line with the recipe that then runs."""
    try:
        kept, _ = counting(config, choices_in(config.journal.folder))
    except DataError as error:
        return [Finding("kept", False, str(error))], config
    found = [
        Finding(f"kept {NAMES[name]}", None, text) for name, choice in kept.items() if (text := told(name, choice))
    ]
    recipe = kept.get("recipe")
    return found, config if recipe is None else config.model_copy(update={"bundle": Path(recipe.value)})


def print_findings(findings: list[Finding]) -> bool:
    """Prints them on stdout; whether nothing that was tried failed."""
    marks = {True: Text("ok", "green"), False: Text("no", "red"), None: Text("")}
    rows = [(marks[finding.works], finding.subject, finding.text) for finding in findings]
    print_table([text_column(), text_column(), text_column()], rows, header=False)
    return all(finding.works is not False for finding in findings)


def _tried(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, look())
    except (SnlEdgeError, OSError) as error:
        return Finding(subject, False, str(error))


def _opencv(config: LineConfig) -> Finding:
    """Which OpenCV reads the cameras; without GStreamer some of them cannot be opened."""
    wanting = [camera.name for camera in config.cameras if camera.source.type in ("csi", "gstreamer")]
    if not wanting:
        return Finding("OpenCV", True, str(opencv()))
    return _tried("OpenCV", lambda: f"{require_gstreamer()}, for {', '.join(wanting)}")


def _recipe(config: LineConfig) -> str:
    recipe = Recipe(config.bundle, config.engine, waiting=1)
    try:
        manifest = recipe.bundle.manifest
        for camera in config.cameras:
            manifest.threshold_for(camera.product)
            check_region(camera.name, camera.region, camera.rotation, recipe.takes)
        reference = "" if manifest.reference else "; it has no reference, so drift cannot be seen"
        frames = f", takes frames of {recipe.takes.frame} alone" if recipe.takes.frame else ""
        odd = "".join(f"; doubtful: {words}" for words in standing_doubts(manifest).values())
        return f"{recipe.name} for {', '.join(manifest.products)}{frames}, run by {recipe.reason}{reference}{odd}"
    finally:
        recipe.close()


def _camera(config: LineConfig, camera: CameraSettings, connect: bool) -> Iterator[Finding]:
    name = f"camera {camera.name}"
    if camera.source.type in _MODULES:
        yield _module(f"{name} package", camera.source.type)
    where = f"{camera.source.type}, {_trigger(camera.trigger)}"
    trust = "" if camera.compare_product else ", taken on trust: parts of other products may pass"
    product = f", always sees {camera.product}{trust}" if camera.product else ", recognises the product"
    yield Finding(name, None, where + product)
    if camera.ignore_mask or camera.ignore:
        share = lambda: ignored_pixels(camera.ignore_mask, camera.ignore, (256, 256))  # noqa: E731
        yield _tried(f"{name} ignore", lambda: f"{100 * float(share().mean()):.0f} % of the region do not count")  # pyright: ignore[reportOptionalMemberAccess]
    if camera.source.type in ("folder", "video", "synthetic") or connect:
        yield _tried(f"{name} picture", lambda: _picture(config, camera))
    if config.queue.policy == "block" and open_source(camera.source).live:
        yield Finding(name, False, "queue.policy is block, but this camera cannot wait: old pictures would pile up")


def _picture(config: LineConfig, camera: CameraSettings) -> str:
    takes = read_manifest(config.bundle / MANIFEST).input
    source = open_source(camera.source)
    source.open()
    try:
        stored = _first(source)
        depth = DepthWatch()
        depth.look(stored, takes.bits)
        picture = to_uint8(stored, takes.bits)
        region = inspected(picture, camera.region, camera.rotation, swap=False)
        if wrong := misfit(region.shape, takes):
            raise CameraError(*wrong)
        (height, width), (seen_height, seen_width) = picture.shape[:2], region.shape[:2]
        text = f"gives {width}x{height} pixels, of which {seen_width}x{seen_height} are inspected"
        if takes.frame is not None and source.colour != takes.colours:
            text += (
                f"; it gives {source.colour.upper()} and the bundle takes {takes.colours.upper()}: the host converts "
                f"each frame, unless you build with --frame-colours {source.colour}"
            )
        return text if depth.doubt is None else f"{text}; {depth.doubt}"
    finally:
        source.close()


def _first(source: Source):
    try:
        for _ in range(_WAITS):
            if (picture := source.read()) is not None:
                return picture
    except EndOfPictures as error:
        raise CameraError("there is not one picture") from error
    raise CameraError("no picture came", fix="if the camera waits for a trigger signal, give one meanwhile")


def _trigger(trigger: TriggerSettings) -> str:
    if isinstance(trigger, EveryFrame):
        return "every picture is a part" if trigger.every == 1 else f"each {trigger.every}th picture is a part"
    if isinstance(trigger, Interval):
        return f"a part every {trigger.seconds:g} s"
    if isinstance(trigger, Hardware):
        return "triggered by a signal at the camera"
    if isinstance(trigger, Gpio):
        return f"triggered by GPIO line {trigger.line}"
    return "triggered by POST /api/trigger" + (" or standard input" if trigger.stdin else "")


def _queue(config: LineConfig) -> str:
    full = "the oldest part is dropped (fail-safe)" if config.queue.policy == "newest" else "the source waits"
    if config.queue.policy == "newest" and any(camera.source.type == "folder" for camera in config.cameras):
        full += ", a file for good: files could wait with queue.policy block"
    deadline = f"a verdict within {config.deadline_ms:g} ms" if config.deadline_ms else "no deadline"
    return f"{config.queue.size} pictures may wait; when it is full, {full}; {deadline}"


def _rules(config: LineConfig) -> str:
    rules = config.rules
    text = f"not judged: {rules.failsafe}; unknown product: {rules.unknown}"
    if any(camera.product for camera in config.cameras):
        text += f"; not the camera's product: {rules.on_mismatch}"
    if rules.confirm:
        text += f"; a reject counts only as one of {rules.confirm.rejects} among {rules.confirm.of}"
    return text + ("; starts in shadow mode: nothing moves" if config.shadow else "")


def _journal(config: LineConfig) -> str:
    settings = config.journal
    if lost := lost_journal(settings.folder):
        raise DataError("the journal is lost", lost, f"restore it from a backup, or move {settings.folder} away")
    settings.folder.mkdir(parents=True, exist_ok=True)
    probe = settings.folder / ".probe"
    probe.write_bytes(b"")
    probe.unlink()
    kept = "for ever" if settings.keep_days is None else f"for {settings.keep_days:g} days"
    pictures = settings.pictures
    return (
        f"{'goes on' if (settings.folder / FILE).exists() else 'new'} in {settings.folder}; verdicts kept {kept}, "
        f"pictures of {', '.join(pictures.of)} for {pictures.keep_days:g} days up to {pictures.keep_gib:g} GiB"
    )


_MODULES = {
    "rtsp": "av",
    "genicam": "harvesters",
    "mqtt": "paho",
    "sparkplug": "google.protobuf",
    "webhook": "urllib3",
    "opcua": "asyncua",
    "modbus": "pymodbus",
    "gpio": "gpiod",
}


def _module(subject: str, kind: str) -> Finding:
    module = _MODULES.get(kind)
    if module is None or installed(module):
        return Finding(subject, True, "its package is installed")
    return Finding(subject, False, f'it needs {module}: pip install "snl-edge[{kind}]"')


def _target(sink: PicturesSink) -> str:
    """Where pictures are copied to; writes nothing."""
    if sink.mount is not None and not sink.mount.is_mount():
        raise ConfigError(f"nothing is mounted at {sink.mount}", fix="mount the share")
    place = next(folder for folder in (sink.folder, *sink.folder.absolute().parents) if folder.exists())
    if not os.access(place, os.W_OK) or not place.is_dir():
        raise ConfigError(f"{place} is no folder that can be written to", fix="correct folder, or its rights")
    free = shutil.disk_usage(place).free / 2**30
    warned = "" if sink.mount else "; without mount, an unmounted share would be a folder on this machine"
    return f"{free:.0f} GiB are free at {sink.folder}{warned}"


def _clock() -> Finding:
    """Times in records are the wall clock's; what decides within a run is not."""
    synchronised = clock_synchronised()
    if synchronised is None:
        return Finding("clock", None, "whether the network sets it cannot be told here")
    if synchronised:
        return Finding("clock", None, "the network sets it")
    return Finding(
        "clock", None, "nobody sets it: times in records drift from those of the plant; docs/plant.md says how"
    )


def _in_time(config: LineConfig, actuator: ActuatorSettings) -> str:
    if text := actuator.too_late(config.deadline_ms):
        raise ConfigError(text)
    if actuator.travel.by == "time":
        return f"a verdict at the deadline, {config.deadline_ms:g} ms, still is in time"
    return f"by {actuator.travel.by}: whether verdicts come in time, the running line tells"


def _dashboard(config: LineConfig) -> str:
    settings = config.dashboard
    if settings is None:
        return "none, and so no metrics and no health page"
    access = settings.access()
    own = settings.machines
    machines = "" if own is None else f"; machines also at {own.host}:{own.port}"
    named = [f"{one.name} ({one.role})" if one.name else "whoever has the common one" for one in access]
    tokens = f"with tokens of {', '.join(named)}" if named else "without a token, for this machine alone"
    return f"{settings.host}:{settings.port}, {tokens}{machines}"


def _golden(config: LineConfig, given: Path) -> str:
    assert config.golden is not None
    folder = sample_folder(config.golden, config.bundle)
    found = {name: golden_samples(folder, name) for name in ("good", "reject")}
    counts = {name: len(listing.images) for name, listing in found.items()}
    if not any(counts.values()):
        raise CameraError(f"{folder} holds no samples", fix="put pictures below good and reject there")
    when = "at start and on demand" if config.golden.at_start else "on demand"
    own = "" if folder == config.golden.folder else f" of {folder}"
    heatmaps = sum(len(listing.heatmaps) for listing in found.values())
    known = KnownBundles(config.dashboard and config.dashboard.bundles, [given, config.bundle])
    left_out = leaving_out(heatmaps) + of_no_bundle(config.golden, known)
    return f"{counts['good']} good and {counts['reject']} reject samples{own}, judged {when}{left_out}"
