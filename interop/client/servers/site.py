"""The site on python-socketio and aiohttp.

Usage: target/python-venv/bin/python interop/client/servers/site.py [OPTION...], see README.md.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import sys
import threading
from urllib.parse import parse_qsl

import socketio
from aiohttp import web

# What this server cannot do, in the words of README.md.
MISSING = ["message", "msgpack", "recovery", "volatile"]


def read():
    """The same command line as that of the other sites."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--unix")
    parser.add_argument("--parser", choices=["default"], default="default")
    # aiohttp agrees to it with whoever offers it, asked or not.
    parser.add_argument("--deflate", action="store_true")
    parser.add_argument("--no-websocket", action="store_true")
    parser.add_argument("--no-polling", action="store_true")
    parser.add_argument("--no-upgrade", action="store_true")
    parser.add_argument("--ping-interval", type=float)
    parser.add_argument("--ping-timeout", type=float)
    parser.add_argument("--max-payload", type=int)
    return parser.parse_args()


def make_server(values):
    chosen = {
        "ping_interval": values.ping_interval and values.ping_interval / 1000,
        "ping_timeout": values.ping_timeout and values.ping_timeout / 1000,
        "max_http_buffer_size": values.max_payload,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    off = {"polling": values.no_polling, "websocket": values.no_websocket}
    transports = [name for name in off if not off[name]]
    return socketio.AsyncServer(
        async_mode="aiohttp",
        transports=transports,
        allow_upgrades=not values.no_upgrade,
        # All that have a handler, and those that stand for others.
        namespaces=Namespaces(),
        **given,
    )


class Namespaces:
    """What of the namespaces without a handler of their own there is."""

    def __contains__(self, name):
        return re.fullmatch(r"/dyn-\d+", name) is not None


class Site:
    def __init__(self, sio, wires):
        self._sio = sio
        self._wires = wires
        self._tries = {}
        self._serve_main()
        self._serve_private()
        for namespace in ["/a", "/b", "*"]:
            self._serve_echo(namespace)

    async def _greet(self, sid, namespace, environ, auth):
        # What is sent before the answer to CONNECT would arrive before it.
        while not self._sio.manager.is_connected(sid, namespace):
            if not self._sio.manager.is_pre_connected(sid, namespace):
                return
            await asyncio.sleep(0)
        welcome = {
            "id": sid,
            "auth": auth or {},
            "query": dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True)),
            "headers": {"x-test": environ.get("HTTP_X_TEST"), "cookie": environ.get("HTTP_COOKIE")},
            "transport": self._sio.transport(sid, namespace),
            "recovered": False,
        }
        await self._sio.emit("welcome", welcome, to=sid, namespace=namespace)

    def _greet_later(self, sid, namespace, environ, auth):
        self._sio.start_background_task(self._greet, sid, namespace, environ, auth)

    def _serve_private(self):
        sio, users = self._sio, {}

        @sio.on("connect", namespace="/private")
        async def connect(sid, environ, auth):
            if (auth or {}).get("token") != "letmein":
                raise socketio.exceptions.ConnectionRefusedError("not allowed", {"code": 401})
            users[sid] = auth.get("user")
            self._greet_later(sid, "/private", environ, auth)

        @sio.on("whoami", namespace="/private")
        async def whoami(sid):
            return users[sid]

        @sio.on("disconnect", namespace="/private")
        async def disconnect(sid, _reason):
            users.pop(sid, None)

    def _serve_echo(self, namespace):
        """`*` stands for all that have no handlers of their own, and gives the name to the handler."""
        sio = self._sio
        own = [] if namespace == "*" else [namespace]

        @sio.on("connect", namespace=namespace)
        async def connect(*args):
            name, sid, environ, auth = [*own, *args]
            self._greet_later(sid, name, environ, auth)

        @sio.on("echo", namespace=namespace)
        async def echo(*args):
            name, sid, *values = [*own, *args]
            await sio.emit("echo", (name, *values), to=sid, namespace=name)

        @sio.on("ask", namespace=namespace)
        async def ask(*args):
            _, _, *values = [*own, *args]
            return tuple(values)

    def _serve_main(self):
        sio, tries = self._sio, self._tries

        @sio.event
        async def connect(sid, environ, auth):
            self._greet_later(sid, "/", environ, auth)

        @sio.event
        async def names(sid):
            return MISSING

        @sio.event
        async def echo(sid, *args):
            await sio.emit("echo", args, to=sid)

        @sio.on("ask")
        @sio.on("binary-ask")
        async def ask(sid, *args):
            return args

        @sio.on("sum")
        async def total(sid, a, b):
            return a + b

        @sio.event
        async def slow(sid, ms, value):
            await asyncio.sleep(ms / 1000)
            return value

        @sio.event
        async def never(sid):
            await self._never()

        held = {}

        @sio.event
        async def hold(sid, value):
            release = asyncio.Event()
            held.setdefault(sid, []).append(release)
            await release.wait()
            return value

        @sio.on("let-go")
        async def let_go(sid):
            for release in held.pop(sid, []):
                release.set()
            return True

        @sio.on("question-me")
        async def question_me(sid, n):
            questions = [sio.call("question", i, to=sid) for i in range(n)]
            await sio.emit("answered", await asyncio.gather(*questions), to=sid)

        @sio.event
        async def flaky(sid, key, n, value):
            tries[key] = tries.get(key, 0) + 1
            count = tries[key]
            if count < n:
                await self._never()
            return {"value": value, "tries": count}

        @sio.event
        async def seen(sid, key):
            return tries.get(key, 0)

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
            await sio.emit("said", text, room=room, skip_sid=sid)
            return True

        @sio.on("burst")
        @sio.on("volatile-burst")
        async def burst(sid, n):
            for i in range(n):
                await sio.emit("number", i, to=sid)
            return n

        @sio.event
        async def big(sid, length):
            await sio.emit("big", "x" * length, to=sid)

        @sio.on("leave-me")
        async def leave_me(sid):
            await sio.disconnect(sid)

        @sio.on("close-me")
        async def close_me(sid):
            connection = sio.manager.eio_sid_from_sid(sid, "/")
            await sio.disconnect(sid)
            await sio.eio.disconnect(connection)

        @sio.on("cut-me")
        @sio.on("cut-and-send")
        async def cut(sid, *_):
            connection = sio.manager.eio_sid_from_sid(sid, "/")
            self._wires.cut(connection, sio.environ[connection])
            session = sio.eio.sockets.pop(connection)
            await session.close(wait=False, abort=True, reason=sio.reason.TRANSPORT_ERROR)

    async def _never(self):
        """An event whose handler returns is acknowledged, so this one waits as long as the server runs."""
        await asyncio.get_running_loop().create_future()


class Wires:
    """Which TCP connections carry which session: clients that poll have several."""

    def __init__(self):
        self._transports = {}

    @web.middleware
    async def note(self, request, handler):
        if "sid" in request.query:
            self._transports.setdefault(request.query["sid"], set()).add(request.transport)
        return await handler(request)

    def cut(self, session, environ):
        opening = environ["aiohttp.request"].transport
        for transport in {opening, *self._transports.pop(session, ())}:
            if transport is not None:
                transport.abort()


async def set_cookie(request, response):
    if "sid" not in request.query:
        response.headers["Set-Cookie"] = "site=1; Path=/"


async def main(values):
    wires = Wires()
    app = web.Application(middlewares=[wires.note])
    app.on_response_prepare.append(set_cookie)
    sio = make_server(values)
    Site(sio, wires)
    sio.attach(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", values.port).start()
    port = runner.addresses[0][1]
    if values.unix:
        await web.UnixSite(runner, values.unix).start()

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)

    def watch_input():
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=watch_input, daemon=True).start()
    print(json.dumps({"port": port, "unix": values.unix}), flush=True)
    await ended.wait()
    if values.unix:
        os.unlink(values.unix)
    # Handlers that never end are part of the site.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(read()))
