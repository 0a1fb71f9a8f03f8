"""The Redis ledger (design section 4). Start reading at :mod:`vapo.ledger.ledger`."""

from vapo.ledger.keys import Stage
from vapo.ledger.leases import Lease
from vapo.ledger.ledger import Ledger, Note, NoteConflict, QueueFull, TaskDiffers, TaskTaken
from vapo.ledger.records import TaskRecord

__all__ = ["Lease", "Ledger", "Note", "NoteConflict", "QueueFull", "Stage", "TaskDiffers", "TaskRecord", "TaskTaken"]
