"""What Tsung is told to do: one scenario for each case, as its XML configuration.

A WebSocket case sends frames that are made here, through Tsung's plain TCP sessions: its own
WebSocket sessions send one frame in one write, so nothing would ever be in flight together, and
they check the answer to a random key, which a server with prepared answers cannot give.
"""

import html
import math

# Which bytes a mask has is the client's choice. With this one no byte of a frame is a control
# character, which XML cannot hold.
MASK = b"\x80\x80\x80\x80"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
WEBSOCKET = "/socket.io/?EIO=4&transport=websocket"
POLLING = "/socket.io/?EIO=4&transport=polling"

# XML parsers are free with line ends; this gives them to a request as a variable.
LINE_ENDS = """
<setdynvars sourcetype="eval" code="fun(_) -> [13, 10] end."><var name="crlf"/></setdynvars>"""


def text(number):
    return f"a message of forty-four characters, number {number}"


def two_digits(count):
    """The number of a message, as the servers with prepared answers count them."""
    return 10 + count % 90


def frame(payload):
    """A masked text frame."""
    data = payload.encode()
    assert len(data) < 126
    return bytes([0x81, 0x80 | len(data)]) + MASK + bytes(byte ^ 0x80 for byte in data)


def frame_len(payload):
    """Length of that frame when a server sends it."""
    return 2 + len(payload)


def pause(seconds):
    return f'\n<thinktime value="{seconds}"/>' if seconds else ""


def check(answer):
    """Ends all when this expression is not the answer."""
    return f'<match do="abort_test" when="nomatch">{html.escape(answer)}</match>' if answer else ""


def raw(data, answer=None):
    """Sends this, and waits for something, which must be the answer."""
    numbers = "".join(f"&#{byte};" for byte in data)
    return f'\n<request>{check(answer)}<raw data="{numbers}" ack="local"/></request>'


def join(settle):
    """Upgrade, then the namespace. The open packet may come apart from the answer to the upgrade,
    so there is a pause behind each step."""
    lines = [
        f"GET {WEBSOCKET} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
    ]
    upgrade = html.escape("%%_crlf%%".join([*lines, "", ""]))
    return (
        LINE_ENDS
        + f'\n<request subst="true"><raw data="{upgrade}" ack="local"/></request>'
        + pause(settle)
        + raw(frame("40"))
        + pause(settle)
    )


def forever(body):
    return f'\n<for var="round" from="1" to="1000000000">{body}\n</for>'


def arrivals(phase, session, rate, number=None, seconds=3600, others=()):
    """Clients of one kind come. All kinds must be named."""
    shares = {session: 100, **dict.fromkeys(others, 0)}
    setup = "".join(
        f'\n<session_setup name="{name}" probability="{share}"/>' for name, share in shares.items()
    )
    most = f' maxnumber="{number}"' if number else ""
    return f"""
<arrivalphase phase="{phase}" duration="{seconds}" unit="second">{setup}
<users arrivalrate="{rate}" unit="second"{most}/>
</arrivalphase>"""


def session(name, kind, body, share=100):
    """One way of a client; the shares of all must be 100 together, even where each phase says whom
    it brings."""
    return f'\n<session name="{name}" probability="{share}" type="{kind}">{body}\n</session>'


class Scenario:
    # What a window is divided by, as the tool counts it, and how it is checked; both get what the
    # tool counted in the window, the second what the kernel counted too and gives pairs that must
    # be equal.
    def done(self, tool):
        raise NotImplementedError

    def checks(self, tool, kernel):
        raise NotImplementedError

    def takes(self, _server):
        return True

    # How many connections there are once all have come; None where they come and go.
    clients = None

    def xml(self, dtd, port, address):
        return f"""<?xml version="1.0"?>
<!DOCTYPE tsung SYSTEM "{dtd}">
<tsung loglevel="warning" version="1.0">
<clients><client host="localhost" use_controller_vm="true" maxusers="15000">
<ip value="{address}"/></client></clients>
<servers><server host="127.0.0.1" port="{port}" type="tcp"/></servers>
<load>{self.load()}
</load>
<sessions>{self.sessions()}
</sessions>
</tsung>
"""


class Echo(Scenario):
    unit = "event"
    clients = 100

    def __init__(self, in_flight):
        self.in_flight = in_flight
        self.name = f"echo-{in_flight}"
        how = "one in flight" if in_flight == 1 else f"{in_flight} in one write"
        self.title = f"event with ack, {self.clients} clients, {how}"

    def load(self):
        return arrivals(1, "echo", 200, self.clients)

    def sessions(self):
        rounds = math.lcm(90, self.in_flight) // self.in_flight
        body = "".join(self.round(number * self.in_flight) for number in range(rounds))
        return session("echo", "ts_raw", join(0.3) + forever(body))

    def round(self, first):
        numbers = [two_digits(first + count) for count in range(self.in_flight)]
        data = b"".join(frame(f'42{number}["echo","{text(number)}"]') for number in numbers)
        if self.in_flight == 1:
            # The whole frame, with its header of two bytes. Every second one: Tsung keeps what it
            # matched until an answer that it need not match.
            answer = rf'^..43{numbers[0]}\["{text(numbers[0])}"\]$' if first % 2 else None
            return raw(data, answer)
        # A server may give its answers in several writes, and the first one ends the waiting;
        # what comes in the pause belongs to this round.
        return raw(data) + pause(0.002)

    def done(self, tool):
        return tool["request"] * self.in_flight

    def checks(self, tool, kernel):
        answer = frame_len(f'4310["{text(10)}"]')
        yield "answers", self.done(tool), tool["size_rcv"] / answer
        yield "bytes to the server", tool["size_sent"], kernel["received"]
        if self.in_flight == 1:
            yield "right answers, of every second one", self.done(tool) / 2, tool["match"]


class OwnFrames(Scenario):
    """Tsung's own WebSocket: a random key and random masks, the handshake checked, every frame
    parsed before the next is sent."""

    name = "frames-1"
    unit = "event"
    clients = 100
    title = f"event with ack, {clients} clients, one in flight, Tsung's own WebSocket"

    def takes(self, server):
        # It answers one key only.
        return server != "floor"

    def load(self):
        return arrivals(1, "echo", 200, self.clients)

    def sessions(self):
        def send(packet):
            packet = html.escape(packet)
            return (
                '\n<request><websocket type="message" frame="text" ack="parse">'
                f"{packet}</websocket></request>"
            )

        # Left to itself Tsung gives a host as the origin, and that is no origin.
        where = f'path="{html.escape(WEBSOCKET)}" origin="http://127.0.0.1"'
        upgrade = f'\n<request><websocket type="connect" {where}/></request>'
        inside = upgrade + pause(0.3) + send("40") + pause(0.3)
        numbers = map(two_digits, range(90))
        rounds = "".join(send(f'42{number}["echo","{text(number)}"]') for number in numbers)
        return session("echo", "ts_websocket", inside + forever(rounds))

    def done(self, tool):
        return tool["request"]

    def checks(self, tool, kernel):
        answer = frame_len(f'4310["{text(10)}"]')
        yield "answers", self.done(tool), tool["size_rcv"] / answer
        yield "bytes to the server", tool["size_sent"], kernel["received"]


class Room(Scenario):
    unit = "delivery"

    def __init__(self, members, in_flight, pace):
        self.members, self.in_flight, self.pace = members, in_flight, pace
        self.clients = members
        self.name = f"room-{members}-{in_flight}"
        how = "one" if in_flight == 1 else f"{in_flight} in one write,"
        self.title = f"{how} to a room of {members}, {1 / pace:.0f} times a second"

    def load(self):
        # A phase ends with its time, however early all have come.
        time, others = self.members // 200, self.members - 1
        return arrivals(1, "member", 400, others, time, ["talker"]) + arrivals(
            2, "talker", 10, 1, others=["member"]
        )

    def sessions(self):
        inside = join(0.3) + raw(frame('4210["join","room"]'))
        numbers = map(two_digits, range(self.in_flight))
        said = b"".join(frame(f'42["say","room","{text(number)}"]') for number in numbers)
        talk = pause(1) + forever(raw(said) + pause(self.pace))
        return session("member", "ts_raw", inside + pause(3600), 50) + session(
            "talker", "ts_raw", inside + talk, 50
        )

    def done(self, tool):
        return tool["size_rcv"] / frame_len(f'42["said","{text(10)}"]')

    def checks(self, tool, kernel):
        yield "deliveries", self.done(tool), tool["request"] * self.in_flight * self.members
        yield "bytes from the server", tool["size_rcv"], kernel["sent"]


class Connect(Scenario):
    name = "connect"
    unit = "client"
    rate = 500
    title = f"connect by WebSocket, join the namespace, go; {rate} a second"

    def load(self):
        return arrivals(1, "visitor", self.rate)

    def sessions(self):
        return session("visitor", "ts_raw", join(0.02))

    def done(self, tool):
        return tool["finish_users_count"]

    def checks(self, tool, kernel):
        yield "connections", self.done(tool), kernel["accepted"]
        yield "requests", self.done(tool) * 2, tool["request"]


class Polling(Scenario):
    name = "polling"
    unit = "event"
    clients = 100
    title = f"event with ack over polling, keep-alive, {clients} clients"

    def load(self):
        return arrivals(1, "poller", 200, self.clients)

    def sessions(self):
        url, known = html.escape(POLLING), html.escape(POLLING + "&sid=%%_sid%%")

        def get(answer=None):
            what = f'<http url="{known}" method="GET"/>'
            return f'\n<request subst="true">{check(answer)}{what}</request>'

        def post(packet):
            kind = 'content_type="text/plain;charset=UTF-8"'
            body = html.escape(packet)
            return (
                f'\n<request subst="true">'
                f'<http url="{known}" method="POST" {kind} contents="{body}"/></request>'
            )

        opened = (
            '\n<request><dyn_variable name="sid" re="&quot;sid&quot;:&quot;([^&quot;]+)"/>'
            f'<http url="{url}" method="GET"/></request>'
        )
        rounds = ""
        for number in (two_digits(count) for count in range(90)):
            rounds += post(f'42{number}["echo","{text(number)}"]')
            rounds += get(rf'43{number}\["{text(number)}"\]')
        return session("poller", "ts_http", opened + post("40") + get() + forever(rounds))

    def done(self, tool):
        return tool["request"] / 2

    def checks(self, tool, kernel):
        yield "requests with status 200", tool["request"], tool["200"]
        yield "right answers", self.done(tool), tool["match"]
        yield "bytes to the server", tool["size_sent"], kernel["received"]


ALL = [
    Echo(1),
    Echo(16),
    Echo(64),
    OwnFrames(),
    Room(1000, 1, 0.05),
    Room(1000, 4, 0.05),
    Connect(),
    Polling(),
]
