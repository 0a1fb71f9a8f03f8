"""The Redis ledger (design section 4). Start reading at :mod:`vapo.ledger.ledger`."""

from vapo.ledger.keys import Stage
from vapo.ledger.leases import Lease
from vapo.ledger.ledger import Ledger, QueueFull
from vapo.ledger.records import TaskRecord

__all__ = ["Ledger", "Lease", "QueueFull", "Stage", "TaskRecord"]
