"""The Redis ledger. Start reading at :mod:`vapo.ledger.ledger`."""

from vapo.ledger.keys import Stage
from vapo.ledger.leases import Lease
from vapo.ledger.ledger import Ledger
from vapo.ledger.records import TaskRecord
from vapo.ledger.submission import Note, NoteConflict, QueueFull, TaskDiffers, TaskTaken

__all__ = ["Lease", "Ledger", "Note", "NoteConflict", "QueueFull", "Stage", "TaskDiffers", "TaskRecord", "TaskTaken"]
