"""python-socketio's client for asyncio, over WebSocket, with default options otherwise.

Usage: python client.py CASE URL SECONDS; bench/src/clients/contract.rs says what is asked of it.
"""

import asyncio
import json
import os
import sys
import time

import socketio

TEXTS = [f"a message of forty-four characters, number {number}" for number in range(10, 100)]
# Idle clients that connect at once.
IDLE_AT_ONCE = 50


def say(**what):
    """Writes a line and waits for one; nothing is under way meanwhile."""
    print(json.dumps(what), flush=True)
    sys.stdin.readline()


async def connect(url):
    client = socketio.AsyncClient(reconnection=False)
    await client.connect(url, transports=["websocket"])
    return client


# Each of these tells how much was done.
async def call(client, in_flight, seconds):
    end = time.perf_counter() + seconds
    sent = done = 0

    async def one_by_one():
        nonlocal sent, done
        while time.perf_counter() < end:
            text = TEXTS[sent % len(TEXTS)]
            sent += 1
            answered = asyncio.get_running_loop().create_future()
            await client.emit("echo", text, callback=answered.set_result)
            answer = await answered
            if answer != text:
                raise ValueError(f"{text} was answered with {answer}")
            done += 1

    await asyncio.gather(*(one_by_one() for _ in range(in_flight)))
    return done


async def receive(client, event, *arguments):
    come = 0
    count = asyncio.get_running_loop().create_future()

    def said(text):
        nonlocal come
        if text != TEXTS[come % len(TEXTS)] and not count.done():
            count.set_exception(ValueError(f"unexpected behind {come}: {text}"))
        come += 1

    client.on("said", said)
    client.on("done", count.set_result)
    await client.emit(event, arguments)
    if await count != come:
        raise ValueError(f"{come} came, and the server says {count.result()}")
    return come


async def come_and_go(url, seconds):
    end = time.perf_counter() + seconds
    done = 0
    while time.perf_counter() < end:
        client = await connect(url)
        await client.disconnect()
        done += 1
    return done


async def fill(url, clients, count):
    while len(clients) < count:
        some = min(IDLE_AT_ONCE, count - len(clients))
        clients += await asyncio.gather(*(connect(url) for _ in range(some)))
    return count - 1


async def measure(warm_up, work):
    await warm_up
    say(ready=True)
    began = time.perf_counter()
    done = await work
    say(done=done, seconds=time.perf_counter() - began)


async def main(name, url, seconds):
    seconds = float(seconds)
    kind, _, size = name.partition("-")
    if kind == "call":
        client = await connect(url)
        await measure(call(client, int(size), seconds / 2), call(client, int(size), seconds))
    elif kind == "receive":
        client = await connect(url)
        rate = [] if size == "flood" else [int(size)]
        event = "pace" if rate else "flood"
        times = [int(seconds * 500), int(seconds * 1000)]
        await measure(*(receive(client, event, *rate, ms) for ms in times))
    elif kind == "connect":
        await measure(come_and_go(url, seconds / 2), come_and_go(url, seconds))
    elif kind == "idle":
        clients = []
        await measure(fill(url, clients, 1), fill(url, clients, int(size) + 1))
    else:
        sys.exit(f"there is no case {name}")


    # What is still open ends with the process.
    os._exit(0)


asyncio.run(main(*sys.argv[1:]))
