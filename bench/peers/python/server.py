"""python-socketio with default options, on uvicorn with its fast parts.

The variable OPTION is what it is to be beside itself: msgpack or deflate.

Usage: python server.py PORT
"""

import os
import sys

import socketio
import uvicorn

option = os.environ.get("OPTION")
serializer = "msgpack" if option == "msgpack" else "default"
sio = socketio.AsyncServer(async_mode="asgi", serializer=serializer)


@sio.event
async def echo(sid, text):
    return text


@sio.event
async def blob(sid, buffer):
    return buffer


@sio.event
async def size(sid, buffer):
    return len(buffer)


@sio.event
async def join(sid, room):
    await sio.enter_room(sid, room)
    return True


@sio.event
async def leave(sid, room):
    await sio.leave_room(sid, room)
    return True


@sio.event
async def say(sid, room, text):
    await sio.emit("said", text, room=room)


class Server(uvicorn.Server):
    """Says when it accepts: the application's own start-up hook runs before that."""

    async def startup(self, sockets=None):
        await super().startup(sockets)
        print("ready", flush=True)


config = uvicorn.Config(
    socketio.ASGIApp(sio),
    host="127.0.0.1",
    port=int(sys.argv[1]),
    loop="uvloop",
    http="httptools",
    ws="websockets-sansio",
    ws_per_message_deflate=option == "deflate",
    # Engine.IO has a heartbeat of its own.
    ws_ping_interval=None,
    log_level="warning",
    access_log=False,
    # SIGTERM would otherwise wait for held poll requests.
    timeout_graceful_shutdown=1,
)
Server(config).run()
