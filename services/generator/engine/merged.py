"""Several streams as one, each item as soon as it comes.

Invariant: when one fails, or nobody listens any more, the others are ended too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


async def merged(sources: Sequence[AsyncIterator[Item]]) -> AsyncIterator[tuple[int, Item]]:
    """Items of all ``sources`` with the number of their source; raises what the first to fail
    raises.
    """
    items: asyncio.Queue[tuple[int, Item | None]] = asyncio.Queue()

    async def feed(number: int, source: AsyncIterator[Item]) -> None:
        try:
            async for item in source:
                items.put_nowait((number, item))
        finally:
            items.put_nowait((number, None))

    feeders = [asyncio.create_task(feed(number, source)) for number, source in enumerate(sources)]
    try:
        open_sources = len(feeders)
        while open_sources:
            number, item = await items.get()
            if item is None:
                await feeders[number]
                open_sources -= 1
            else:
                yield number, item
    finally:
        for feeder in feeders:
            feeder.cancel()
        await asyncio.gather(*feeders, return_exceptions=True)
