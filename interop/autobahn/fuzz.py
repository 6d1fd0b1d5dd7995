"""Run the (ported) Autobahn fuzzing client against one WebSocket server.

See README.md. Exit status: 0 all cases passed, 1 some failed, 2 could not run.
"""
import argparse
import codecs
import fnmatch
import json
import os
import socket
import sys
import time
import traceback
from urllib.parse import urlsplit

import txaio
txaio.use_twisted()

from autobahn.websocket import protocol, utf8validator  # noqa: E402


def raw(payload):
    return payload.encode("latin-1") if isinstance(payload, str) else payload


class Utf8Validator:
    """Same contract as autobahn's table-driven one, at C speed."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self.total, self.bad = 0, False

    def validate(self, data):
        result = (False, False, 0, self.total) if self.bad else self._validate(raw(data))
        self.bad = not result[0]
        return result

    def _validate(self, data):
        held = len(self.decoder.getstate()[0])
        try:
            self.decoder.decode(data)
        except UnicodeDecodeError as e:
            at = (e.start if "start byte" in e.reason else e.end) - held
            return False, False, at, self.total + at
        rest = self.decoder.getstate()[0]
        if rest[:1] == b"\xed" and rest[1:] >= b"\xa0":  # half a surrogate: CPython waits
            return False, False, len(data) - 1, self.total + len(data) - 1
        self.total += len(data)
        return True, not rest, len(data), self.total


class XorMasker:
    """Masks with one big-integer XOR instead of a loop over the bytes."""

    def __init__(self, mask, length=None):
        self.mask, self.ptr = mask, 0

    def pointer(self):
        return self.ptr

    def process(self, data):
        n, k = len(data), self.ptr & 3
        self.ptr += n
        key = ((self.mask[k:] + self.mask[:k]) * (n // 4 + 1))[:n]
        x = int.from_bytes(data, "little") ^ int.from_bytes(key, "little")
        return x.to_bytes(n, "little")


# before the cases are imported: some of them use the validator at import time
utf8validator.Utf8Validator = protocol.Utf8Validator = Utf8Validator
protocol.createXorMasker = XorMasker

from autobahntestsuite import case as cases, fuzzing, hexstr  # noqa: E402
from autobahntestsuite.caseset import CaseSet  # noqa: E402
from twisted.internet import reactor  # noqa: E402

PRESETS = {
    "core": "*,!9.*,!12.*,!13.*,12.1.*,12.2.*,13.1.*,13.2.*,13.7.*",
    "limits": "9.*",
    "plain": "*,!12.*,!13.*",
    "deflate": "12.*,13.*",
    "all": "*",
}
AGENT = "server"
# Seconds for whatever a server has to do. The suite gives it half a second or one, and a machine may
# stall for longer. Only failures pay for more.
PATIENCE = 5
LIMITS = {name: PATIENCE for name in (
    "openHandshakeTimeout", "closeHandshakeTimeout", "serverConnectionDropTimeout")}


def log_hex(data, maxlen=64):
    return hexstr(data[:maxlen]) + " ..." if len(data) > maxlen - 4 else hexstr(data)


def log_text(data, maxlen=64, replace=False):
    data = raw(data)
    cut, dots = (data[:maxlen], " ...") if len(data) > maxlen - 4 else (data, "")
    try:
        return cut.decode("utf-8", "replace" if replace else "strict") + dots
    except UnicodeDecodeError:
        return "0x" + log_hex(data, maxlen)


fuzzing.binLogData, fuzzing.asciiLogData = log_hex, log_text

# pickle-based in the original; pickles of equal values may differ on Python 3
cases.Case.compare = lambda self, a, b: a == b


class Protocol(fuzzing.FuzzingClientProtocol):
    """Converts between the cases' latin-1 str payloads and bytes on the wire."""

    def sendFrame(self, opcode, payload=b"", fin=True, rsv=0, mask=None,
                  payload_len=None, chopsize=None, sync=False):
        payload = raw(payload)
        if payload_len is not None:  # "repeat the payload up to this length"
            payload = (payload * (payload_len // len(payload) + 1))[:payload_len]
        super().sendFrame(opcode, payload, fin, rsv, mask, None, chopsize, sync)

    def killAfter(self, delay):
        super().killAfter(max(delay, PATIENCE))

    def closeAfter(self, delay):
        super().closeAfter(max(delay, PATIENCE))

    def sendMessage(self, payload, *args, **kw):
        super().sendMessage(raw(payload), *args, **kw)

    def sendMessageFrameData(self, payload, sync=False):
        return super().sendMessageFrameData(raw(payload), sync)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        super().sendCloseFrame(code, raw(reasonUtf8), isReply)

    def onCloseFrame(self, code, reasonRaw):
        if reasonRaw is not None:
            try:
                reasonRaw.decode("utf-8")
            except UnicodeDecodeError:  # autobahn would fail the connection, then raise
                self.invalidPayload("invalid close reason (non-UTF-8 payload)")
                reasonRaw = reasonRaw.decode("utf-8", "replace").encode("utf-8")
        return super().onCloseFrame(code, reasonRaw)

    def onMessage(self, payload, binary):
        if not hasattr(self.Case, "TESTDATA"):  # 12.* and 13.* work on bytes
            payload = payload.decode("latin-1")
        super().onMessage(payload, binary)

    def onPong(self, payload):
        super().onPong(payload.decode("latin-1"))

    def onConnect(self, response):
        pass  # the original prints a line per case here

    def connectionLost(self, reason):
        try:
            super().connectionLost(reason)
        except Exception:  # else the next case would never start; this one has no result
            traceback.print_exc()


fuzzing.FuzzingClientProtocol = Protocol


def jsonable(x):
    if isinstance(x, bytes):
        return x.decode("latin-1")
    if isinstance(x, dict):
        return {jsonable(k): jsonable(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [jsonable(v) for v in x]
    return x


MISSING = {"behavior": "MISSING", "behaviorClose": "MISSING"}


def verdict(result, strict):
    fine = {"OK"} if strict else {"OK", "NON-STRICT", "INFORMATIONAL", "WRONG CODE", "FAILED BY CLIENT"}
    if result["behavior"] == "UNIMPLEMENTED" and not strict:
        return "unimplemented"
    return "passed" if {result["behavior"], result["behaviorClose"]} <= fine else "failed"


class Factory(fuzzing.FuzzingClientFactory):
    protocol = Protocol
    unreachable = None
    told = time.monotonic()

    def __init__(self, spec, retry, strict):
        self.retry, self.strict, self.again = retry, strict, {}
        super().__init__(spec)

    def nextCase(self):
        if super().nextCase():
            return True
        results = self.agents.get(AGENT, {})
        failed = [c for c in self.specCases
                  if verdict(results.get(c, MISSING), self.strict) == "failed"]
        if not failed or not self.retry:
            return False
        self.retry -= 1
        for c in failed:
            self.again[c] = self.again.get(c, 0) + 1
        print("  running %d failed cases again" % len(failed), flush=True)
        self.specCases, self.currSpecCase = failed, -1
        return super().nextCase()

    def logCase(self, result):
        text = raw(result["description"]).decode("utf-8", "replace")
        super().logCase(dict(jsonable(result), description=text))
        if time.monotonic() - self.told > 10:
            self.told = time.monotonic()
            print("  %d/%d  (%s)" % (self.currSpecCase + 1, len(self.specCases), result["id"]), flush=True)

    def createReports(self):
        super().createReports(produceHtml=False)

    def clientConnectionFailed(self, connector, reason):
        self.unreachable = reason.getErrorMessage()
        super().clientConnectionFailed(connector, reason)


def die(why):
    print("fuzz.py: " + why, file=sys.stderr)
    sys.exit(2)


def select(pattern_list):
    """Case ids, in order, for 'a,b,!c': shell patterns, ! excludes, presets."""
    cset = CaseSet(cases.CaseSetname, cases.CaseBasename, cases.Cases,
                   cases.CaseCategories, cases.CaseSubCategories)
    known = list(cset.CasesById)
    wanted = PRESETS.get(pattern_list, pattern_list).split(",")
    chosen = set(known) if wanted[0].startswith("!") else set()
    for want in wanted:
        pat = want.strip().lstrip("!")
        hit = set(fnmatch.filter(known, pat)) | set(fnmatch.filter(known, pat + ".*"))
        if not hit:
            die("no test case matches %r" % pat)
        chosen = chosen - hit if want.strip().startswith("!") else chosen | hit
    if not chosen:
        die("no test case left in %r" % pattern_list)
    return [c for c in known if c in chosen], cset


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("url")
    ap.add_argument("--cases", default="core")
    ap.add_argument("--outdir", required=True)
    ap.add_argument("--count", type=int, help="messages per case in 9.7, 9.8, 12.*, 13.* (default: 1000)")
    ap.add_argument("--wait", type=float, default=10, help="seconds to wait for the server's port")
    ap.add_argument("--retry", type=int, default=0, help="run failed cases again, up to N times")
    ap.add_argument("--strict", action="store_true", help="anything but OK fails, UNIMPLEMENTED too")
    args = ap.parse_args()
    if not args.url.startswith("ws://"):
        die("only ws:// URLs are supported")
    ids, cset = select(args.cases)
    if args.count:
        for c in cases.Cases:
            if hasattr(c, "COUNT"):
                c.COUNT = args.count

    where, started = urlsplit(args.url), time.monotonic()
    while True:  # the server may still be starting
        try:
            socket.create_connection((where.hostname, where.port or 80), 5).close()
            break
        except OSError as e:
            if time.monotonic() - started > args.wait:
                die("cannot connect to %s: %s" % (args.url, e))
            time.sleep(0.2)

    started = time.monotonic()
    index = os.path.join(args.outdir, "index.json")
    if os.path.exists(index):
        os.remove(index)
    stdout, sys.stdout = sys.stdout, open(os.devnull, "w")  # its banner lists every case
    factory = Factory({"outdir": args.outdir, "cases": ids,
                       "servers": [{"url": args.url, "agent": AGENT}], "options": LIMITS},
                      args.retry, args.strict)
    sys.stdout = stdout
    print("running %d cases against %s" % (len(ids), args.url), flush=True)
    reactor.run()

    with open(index) as f:
        results = json.load(f).get(AGENT, {})
    tally = {"passed": [], "failed": [], "unimplemented": [], "listed": []}
    for cid in ids:
        r = results.get(cid, MISSING)
        about = cset.caseClassToPrettyDescription(cset.CasesById[cid])
        line = "%-14s %-8s close: %s (%s)  %.100s" % (
            r["behavior"], cid, r["behaviorClose"], r.get("remoteCloseCode"), about)
        if cid in factory.again:
            line += "  [run %d times]" % (factory.again[cid] + 1)
        found = verdict(r, args.strict)
        tally[found].append(line)
        if found == "passed" and (cid in factory.again or {r["behavior"], r["behaviorClose"]} != {"OK"}):
            tally["listed"].append(line)
    for name, title in (("listed", "passed, but not strictly OK or not at once"), ("failed", "failed")):
        if tally[name]:
            print("%s:\n  %s" % (title, "\n  ".join(tally[name])))
    if factory.unreachable:
        print("the server stopped accepting connections: %s" % factory.unreachable)
    extra = ", %d unimplemented" % len(tally["unimplemented"]) if tally["unimplemented"] else ""
    print("%d passed, %d failed%s  (%d s)" % (
        len(tally["passed"]), len(tally["failed"]), extra, time.monotonic() - started))
    return 1 if tally["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
