"""Bodies that hold one item, or several: every such call takes both."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

MAXIMUM_ITEMS = 1024
Item = TypeVar("Item", bound=BaseModel)


class ItemBatch(BaseModel, Generic[Item]):
    """Several items."""

    model_config = ConfigDict(extra="forbid")

    items: list[Item] = Field(min_length=1, max_length=MAXIMUM_ITEMS)


def items_of(body: Item | ItemBatch[Item]) -> list[Item]:
    """The items of a body, one or several."""
    return body.items if isinstance(body, ItemBatch) else [body]
