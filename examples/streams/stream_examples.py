"""Handlers of the examples of streams."""

import asyncio
import math
import random
import sysconfig
from pathlib import Path

from snakepit_bridge import stream


@stream
async def readings(interval_ms: int = 20):
    """What a thermometer says, for as long as somebody listens."""
    n = 0
    while True:
        celsius = 21 + 4 * math.sin(n / 25) + random.gauss(0, 0.2)
        yield {"n": n, "celsius": round(celsius, 2)}
        n += 1
        await asyncio.sleep(interval_ms / 1000)


@stream
def search(query: str):
    """The lines of Python's own library in which a text stands, as they are found."""
    files = matches = 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        files += 1
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
            if query in line:
                matches += 1
                yield {"file": path.name, "line": number, "text": line.strip()[:60]}
    return {"files": files, "matches": matches}
