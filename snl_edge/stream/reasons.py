"""Why a part has the verdict it has, in words. A reason that is not here is shown as the journal has it."""

from __future__ import annotations

REASONS = {
    "paused": "the line was paused",
    "deadline": "no verdict in time",
    "dropped": "pushed out of the queue: parts came faster than they are judged",
    "camera": "no picture from the camera",
    "corrupt": "the picture was damaged",
    "black": "the picture was black",
    "blurred": "the picture was blurred, or the lens covered",
    "frozen": "the picture did not change",
    "size": "the picture had another size",
    "engine": "the engine failed",
    "journal": "the journal could not be written",
    "shutdown": "the line was stopping",
    "unconfirmed": "above the threshold, but passed: the rules ask for more",
    "mismatch": "taken for another product than the camera's",
    "unlearned": "like no product that was learned",
    "region": "a defect may be hidden",
}
