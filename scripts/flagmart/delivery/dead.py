"""Dead letters: messages that a destination will not have, kept for who mends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flagmart.delivery.ledger import Target


@dataclass(frozen=True)
class Refused:
    """Why one message is not taken."""

    status: int | None
    """Of the answer; None where no request could carry the message."""
    reason: str
    answer: str = ""
    """Its beginning, without secrets."""


@dataclass(frozen=True)
class DeadLetter:
    """A message that was refused; it stays out of every export until it is replayed."""

    row: int
    """In its spool, counted from 0."""
    message_id: str
    refused: Refused
    payload: str
    """As it was refused; a replay sends what the relation holds by then."""
    died_at: str

    def document(self, target: Target) -> dict[str, object]:
        """What is printed of it."""
        return {
            "delivery": target.delivery,
            "destination": target.destination,
            "where": target.points_to,
            "id": self.message_id,
            "status": self.refused.status,
            "reason": self.refused.reason,
            "answer": self.refused.answer,
            "died_at": self.died_at,
            "payload": self.payload,
        }
