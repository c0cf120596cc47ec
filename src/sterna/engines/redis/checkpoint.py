"""What the target itself remembers of a job: the run that may write, and how far each lane has come.

It is one string key, written in the same MULTI/EXEC as the data that it speaks of.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sterna.core.change import Position
from sterna.core.errors import BadData


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The value of the key."""

    epoch: int
    lanes: Mapping[str, Position] = field(default_factory=dict)
    copies: int = 0
    """How many copies were begun: after the first, keys of ours may be on the target."""
    was_empty: bool = False
    """The target held nothing before the first copy."""
    shared: bool = False
    """Another job has come to the same target. It says so here itself, once, and changes nothing else."""

    what: str = ""
    """Which databases and keys of the source it moves: another job for the same would do everything twice."""

    @property
    def all_ours(self) -> bool:
        """Whether everything that the target holds was brought by this job."""
        return self.was_empty and not self.shared

    def at(self, lane: str, position: Position) -> "Checkpoint":
        return replace(self, lanes={**self.lanes, lane: position})

    def encode(self) -> bytes:
        facts: dict[str, object] = {
            "epoch": self.epoch,
            "copies": self.copies,
            "empty": self.was_empty,
            "shared": self.shared,
            "what": self.what,
        }
        facts["lanes"] = dict(self.lanes)
        return json.dumps(facts, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, text: bytes, key: bytes) -> "Checkpoint":
        try:
            facts = json.loads(text)
            lanes = {str(lane): Position(str(at)) for lane, at in facts["lanes"].items()}
            shared, what = bool(facts.get("shared")), str(facts.get("what", ""))
            return cls(int(facts["epoch"]), lanes, int(facts["copies"]), bool(facts["empty"]), shared, what)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadData(
                f"The key {key.decode()} on the target is not a checkpoint of Sterna's",
                hint="Somebody has changed it. Delete it and start the job anew.",
            ) from error
