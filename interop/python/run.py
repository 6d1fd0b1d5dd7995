"""Usage: run.py [WORD...]

Judges the server under test (SERVER, see README.md) with both clients of python-socketio, and
prints the table of what works. With words, only what has all of them in its name: run.py
AsyncClient polling. Exit code 1 when anything fails.
"""

import asyncio
import logging
import os
import sys
import time
import traceback

from bench import CELLS, Bench
from features import FEATURES
from server import PING_OFTEN, PING_SELDOM, Server

TEST_PATIENCE = 120
SIGNS = {"passed": "✓", "failed": "✗", "left out": "·"}


async def main(words):
    began = time.monotonic()
    # The clients log what they meet on the way; what matters of it fails a test.
    logging.disable(logging.CRITICAL)
    servers = []
    try:
        for heartbeat in (PING_OFTEN, PING_SELDOM):
            servers.append(await Server.start(heartbeat))
        rows = await asyncio.gather(*(row(cell, servers, words) for cell in CELLS))
    finally:
        faults = [fault for server in servers if (fault := await server.stop()) is not None]
    print_table([[cell.client, cell.transport, *outcomes] for cell, outcomes in zip(CELLS, rows)])
    for fault in faults:
        print(f"✗ a server: {fault}")
    outcomes = [outcome for outcomes in rows for outcome in outcomes]
    passed, failed = outcomes.count("passed"), outcomes.count("failed")
    print(f"{passed} passed, {failed} failed in {time.monotonic() - began:.1f} s")
    return 0 if failed == 0 and passed > 0 and not faults else 1


async def row(cell, servers, words):
    """Cells overlap, the tests of one cell follow one another."""
    outcomes = []
    for title, test in FEATURES.items():
        name = f"{cell.name} · {title}"
        if not all(word in name for word in words):
            outcomes.append("left out")
            continue
        bench = Bench(cell, *servers, title)
        try:
            await asyncio.wait_for(test(bench), TEST_PATIENCE)
            outcomes.append("passed")
        except Exception as fault:
            print(f"✗ {name}\n{explained(fault)}", flush=True)
            outcomes.append("failed")
        finally:
            await bench.clear()
    return outcomes


def explained(fault):
    """What went wrong, and the lines of the test that led there."""
    lines = traceback.extract_tb(fault.__traceback__)
    lines = [line for line in lines if line.filename.endswith("features.py")]
    where = [f"    {line.name}, line {line.lineno}: {line.line}" for line in lines]
    return "\n".join([f"    {type(fault).__name__}: {str(fault)[:2000]}", *where])


def print_table(rows):
    rows = [[SIGNS.get(cell, cell) for cell in row] for row in rows]
    rows.insert(0, ["client", "transport", *FEATURES])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print()
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print("\n✓ works   ✗ fails\n")


if __name__ == "__main__":
    status = asyncio.run(main(sys.argv[1:]))
    sys.stdout.flush()
    # A threaded client that failed may leave a thread that waits.
    os._exit(status)
