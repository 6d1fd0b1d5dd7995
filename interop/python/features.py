"""What is tested in every cell, each a column of the table: a title, and a function of a bench."""

import asyncio

import socketio

from clients import EAGER

# A client gives up its session when one poll brings more than 16 packets.
AT_ONCE = 12


async def connect(bench):
    client = bench.client()
    await bench.open(client)
    assert client.connected
    assert len(client.id()) == 20
    other = await bench.connect()
    assert other.id() != client.id()


async def auth(bench):
    given = {"token": "letmein", "name": "Zoë 雪"}
    client = bench.client()
    await client.connect(bench.url, bench.transports, ["/admin"], given)
    (welcome,) = await client.heard("welcome", "/admin")
    assert welcome == {"id": client.id("/admin"), "auth": given}, welcome
    assert await client.call("echo-ack", "in", namespace="/admin") == "in"


async def refused(bench):
    """A client hears why it is refused, and one whose namespace does not exist does too."""
    not_allowed = {"message": "not allowed", "data": {"code": 401, "hint": "bad token"}}
    for namespace, given, why in [
        ("/admin", {"token": "guess"}, not_allowed),
        ("/admin", None, not_allowed),
        ("/nowhere", None, {"message": "Invalid namespace"}),
    ]:
        client = bench.client()
        try:
            await client.connect(bench.url, bench.transports, [namespace], given)
        except socketio.exceptions.ConnectionError:
            pass
        else:
            raise AssertionError(f"let into {namespace} with {given}")
        assert await client.heard("connect_error", namespace) == (why,)
        assert client.heard_so_far("welcome", namespace) == []


async def events(bench):
    client = await bench.connect()
    client.listen("echo")
    sent = [
        ("plain",),
        (),
        (1, -2.5, True, None),
        ({"deep": [{"er": ["Zoë", "雪", "😀"]}]}, [], {}),
        ('quotes " and \\ and \n', ""),
    ]
    for args in sent:
        await client.emit("echo", *args)
        assert await client.heard("echo") == args
    # Several at once: each comes back once.
    for _ in range(10):
        for number in range(AT_ONCE):
            await client.emit("echo", number)
        numbers = [await client.heard("echo") for _ in range(AT_ONCE)]
        assert sorted(numbers) == [(number,) for number in range(AT_ONCE)], numbers
    await client.fence()
    assert client.heard_so_far("echo") == []


async def acks(bench):
    """The server answers the client, and the client the server."""
    client = await bench.connect()
    assert await client.call("echo-ack", 1, "two", {"three": [3]}) == (1, "two", {"three": [3]})
    assert await client.call("echo-ack", "one") == "one"
    answers = await asyncio.gather(*(client.call("echo-ack", n) for n in range(AT_ONCE)))
    assert answers == list(range(AT_ONCE)), answers

    client.listen("question", answer=lambda n: (n, {"twice": 2 * n}))
    client.listen("answer")
    for number in range(3):
        await client.emit("ask", number)
        assert await client.heard("answer") == (number, {"twice": 2 * number})


async def binary(bench):
    client = await bench.connect()
    client.listen("echo")
    part = bytes(range(256))
    for args in [
        (b"",),
        (b"\x01", part, "text"),
        ({"a": [part, {"b": b"", "c": "text"}], "d": None}, 3),
        (part * 280,),
    ]:
        await client.emit("echo", *args)
        assert await client.heard("echo") == args
    args = (part, {"deep": [b"\x00\xff"]})
    assert await client.call("echo-ack", *args) == args

    client.listen("question", answer=lambda *args: ({"reply": [b"\x07" * 7]}, b"\x01"))
    client.listen("answer")
    await client.emit("ask", part, "x")
    assert await client.heard("question") == (part, "x")
    assert await client.heard("answer") == ({"reply": [b"\x07" * 7]}, b"\x01")


async def large(bench):
    """300 kB of text and of bytes, both ways."""
    client = await bench.connect()
    client.listen("echo")
    for value in ["x" * 300_000, "雪" * 100_000, b"\xfe" * 300_000]:
        await client.emit("echo", value)
        assert await client.heard("echo") == (value,)
        assert await client.call("echo-ack", value) == value


async def rooms(bench):
    den, hall = bench.room("den"), bench.room("hall")
    one, two, three = [await bench.connect() for _ in range(3)]
    for client in (one, two, three):
        client.listen("heard")
    for client, room in [(one, den), (two, den), (two, hall), (three, hall)]:
        assert await client.call("join", room) is True
    assert sorted(await one.call("members", den)) == sorted([one.id(), two.id()])

    await one.call("say", den, "heard", "all in den")
    await three.call("say", den, "heard", "from outside")
    await one.call("say-others", den, "heard", "others in den")
    await one.call("say-rooms", [den, hall], "heard", "both, once")
    await one.call("say-except", den, hall, "heard", "den without hall")
    await one.call("say", three.id(), "heard", b"three alone")
    for client, expected in [
        (one, ["all in den", "from outside", "both, once", "den without hall"]),
        (two, ["all in den", "from outside", "others in den", "both, once"]),
        (three, ["both, once", b"three alone"]),
    ]:
        await client.fence()
        heard = [await client.heard("heard") for _ in expected]
        assert sorted(heard, key=repr) == sorted([(what,) for what in expected], key=repr), heard
        assert client.heard_so_far("heard") == []


async def namespaces(bench):
    """Three on one connection, kept apart."""
    names = ("/", "/a", "/b")
    client = await bench.connect(namespaces=names)
    assert len({client.id(name) for name in names}) == 3
    for name in names:
        client.listen("heard", name)
        assert await client.call("join", bench.room("den"), namespace=name) is True
    await client.call("say", bench.room("den"), "heard", "in a", namespace="/a")
    assert await client.heard("heard", "/a") == ("in a",)
    for name in names:
        await client.fence(name)
        assert client.heard_so_far("heard", name) == []


async def leaves(bench):
    """The client disconnects, and the server lets it go.

    It says that it leaves its namespace, but closes without waiting until that was sent. So the
    server may hear only that the connection is closed.
    """
    at = None if bench.polls else bench.quiet
    watcher = await bench.connect(at=at)
    watcher.listen("left")
    await watcher.call("join", "watch")
    client = await bench.connect(at=at)
    gone = client.id()
    await client.disconnect()
    assert await client.heard("disconnect") == ("client disconnect",)
    assert not client.connected
    # Other tests leave, too.
    while (left := await watcher.heard("left"))[0] != gone:
        pass
    assert left[1] in ("client namespace disconnect", "transport close"), left


async def kicked(bench):
    """The server disconnects one namespace, and then the whole connection."""
    client = await bench.connect(namespaces=("/", "/a"))
    await client.emit("kick", False, namespace="/a")
    assert await client.heard("disconnect", "/a") == ("server disconnect",)
    assert await client.call("echo-ack", "still here") == "still here"
    await client.emit("kick", True)
    assert await client.heard("disconnect") == ("server disconnect",)


async def reconnection(bench):
    """The connection is cut without a goodbye; the client comes back as a new one."""
    wire = await bench.wire()
    client = bench.client(**EAGER)
    await bench.open(client, at=wire)
    first = client.id()
    await client.call("join", bench.room("den"))
    assert await client.call("count", "lives") == 1
    for _ in range(2):
        wire.cut()
        await client.heard("disconnect")
        wire.mend()
        (welcome,) = await client.heard("welcome")
        assert welcome["id"] != first
        assert await client.call("rooms") == [welcome["id"]]
        assert await client.call("count", "lives") == 1
        first = welcome["id"]


FEATURES = {
    "connect": connect,
    "auth": auth,
    "refused": refused,
    "events": events,
    "acks": acks,
    "binary": binary,
    "large": large,
    "rooms": rooms,
    "namespaces": namespaces,
    "leaves": leaves,
    "kicked": kicked,
    "reconnection": reconnection,
}
