#!/usr/bin/env python3
"""Usage: bench/outside/run.py [--cases A,B] [--servers A,B] [--repetitions N] [--seconds N]
                              [--data FILE] [--table]
Measures the servers with Tsung, a published load tool, and prints a table: the server's CPU for
each thing done. Each run is a line in FILE (target/outside/runs.jsonl); --table only prints what
is in there. See README.md beside this.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

import scenarios

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "target" / "outside"
TSUNG = pathlib.Path(os.environ.get("TSUNG", WORK / "tsung" / "usr"))
SERVER_CPU, TOOL_CPU = 0, 1
# The measured window begins this long after the last client has come.
WARM = 2
# How far two counts of one thing may be apart: they are not taken at the same instant.
TOLERANCE = 0.03


class Failure(SystemExit):
    pass


def fail(cause):
    raise Failure(f"bench-outside: error: {cause}")


def contestants():
    """Name, command and environment of each server, as the benchmark's own list has them."""
    built = pathlib.Path(os.environ.get("BUILT", ROOT / "target" / "release"))
    yield "roomful", [built / "roomful-server"], {}
    yield "floor", [built / "floor", "tokio"], {}
    for peer in json.loads((ROOT / "bench/peers/peers.json").read_text()):
        yield peer["name"], peer["command"], peer.get("env", {})


@contextlib.contextmanager
def ended(process):
    """Ends this process, and no other, when the block is left."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def pinned(cpu, *command, **options):
    command = ["taskset", "-c", str(cpu), *map(str, command)]
    return subprocess.Popen(command, cwd=ROOT, text=True, **options)


class Server:
    def __init__(self, command, env, port):
        self.port = port
        self.process = pinned(
            SERVER_CPU,
            *command,
            port,
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
        )

    def wait(self):
        if self.process.stdout.readline().strip() != "ready":
            fail("the server did not start, see above")

    def cpu(self):
        """Nanoseconds on a CPU, user and system, of all threads."""
        total = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            # A thread may end meanwhile.
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
        return total

    def kernel(self):
        """What the kernel has counted at the server's end of its connections."""
        seen = subprocess.run(
            ["ss", "-tinH", "state", "established", f"( sport = :{self.port} )"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        count = {
            name: sum(map(int, re.findall(rf"\bbytes_{field}:(\d+)", seen)))
            for name, field in (("received", "received"), ("sent", "acked"))
        }
        for lines in zip(*[iter(pathlib.Path("/proc/net/snmp").read_text().splitlines())] * 2):
            names, values = (line.split() for line in lines)
            if names[0] == "Tcp:":
                count["accepted"] = int(values[names.index("PassiveOpens")])
        return count


class Tool:
    """Tsung that runs, and what it has counted, little by little, in its log."""

    def __init__(self, scenario, port, address, registry):
        self.home = WORK / "run"
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        config = self.home / "tsung.xml"
        config.write_text(scenario.xml(TSUNG / "share/tsung/tsung-1.0.dtd", port, address))
        # All that the `tsung` command passes to Erlang, with one scheduler that does not spin, no
        # web page, and its log written each 50 ms in place of each 10 s.
        command = ["erl", "+S", "1:1", "+SDio", "1", "+sbwt", "none", "+K", "true", "+P", "250000"]
        command += ["-noshell", "-sname", "tsung_controller", "-setcookie", "outside"]
        for part in ("tsung", "tsung_controller"):
            command += ["-pa", next(TSUNG.glob(f"lib/*/tsung/{part}-*/ebin"))]
        command += ["-sasl", "sasl_error_logger", "false", "-s", "tsung_controller"]
        for name, value in {
            "web_gui": "false",
            "keep_web_gui": "false",
            "smp_disable": "true",
            "debug_level": "4",
            "warm_time": "0",
            "exclude_tag": '""',
            "dumpstats_interval": "50",
            "config_file": f'"{config}"',
            "log_dir": f'"{self.home}/"',
            "mon_file": '"tsung.log"',
        }.items():
            command += ["-tsung_controller", name, value]
        self.output = (self.home / "output").open("w")
        self.process = pinned(
            TOOL_CPU,
            *command,
            env={**os.environ, "HOME": str(self.home), "ERL_EPMD_PORT": str(registry)},
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )
        self.log = None
        self.rest = ""
        self.total = {}

    def lines(self):
        """The next lines of its log, as they are written; None when there is none yet."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            line = self.line()
            if line is None and self.process.poll() is not None:
                fail(f"Tsung ended early, see {self.home}")
            yield line
            if line is None:
                time.sleep(0.005)
        fail(f"Tsung counts nothing, see {self.home}")

    def read_on(self, until):
        """Counts, up to the first line for which `until` holds."""
        for line in self.lines():
            if line and line.startswith("stats: "):
                self.count(line.split()[1:])
            if line and until(line):
                return

    def after_report(self, look):
        """Waits for Tsung's clients to report, which they do twice a second; looks at that instant,
        and gives what was seen, and what has been done until then."""
        self.read_on(lambda line: re.match(r"stats: request [1-9]", line))
        seen = look()
        # The report may be in two parts.
        for _ in range(2):
            self.read_on(lambda line: line.startswith("# stats: dump"))
        return seen, dict(self.total)

    def count(self, fields):
        name, now = fields[0], fields[1]
        if name.startswith("error") or name in ("nomatch", "timeout"):
            fail(f"Tsung says {' '.join(fields)}, see {self.home}")
        # How many there are, and not how many more.
        if name == "users":
            self.total[name] = int(now)
        else:
            self.total[name] = self.total.get(name, 0) + int(now)

    def line(self):
        if self.log is None:
            found = next(self.home.glob("*/tsung.log"), None)
            if found is None:
                return None
            self.log = found.open()
        self.rest += self.log.readline()
        if not self.rest.endswith("\n"):
            return None
        line, self.rest = self.rest, ""
        return line


def difference(after, before):
    return {name: value - before.get(name, 0) for name, value in after.items()}


def measure(scenario, command, env, seconds, address, registry):
    """CPU for each thing done, in microseconds, and things done in a second."""
    server = Server(command, env, free_port())
    with ended(server.process):
        server.wait()
        tool = Tool(scenario, server.port, address, registry)
        with ended(tool.process):
            deadline = time.monotonic() + 30
            while scenario.clients and tool.total.get("connected") != scenario.clients:
                tool.read_on(lambda line: line.startswith("# stats: dump"))
                if time.monotonic() > deadline:
                    fail(f"only {tool.total.get('connected')} clients came")
            warm = time.monotonic() + WARM
            tool.read_on(lambda _: time.monotonic() > warm)

            def look():
                return {"cpu": server.cpu(), "wall": time.monotonic_ns(), **server.kernel()}

            before, counted_before = tool.after_report(look)
            enough = time.monotonic() + seconds
            tool.read_on(lambda _: time.monotonic() > enough)
            after, counted_after = tool.after_report(look)
    seen, counted = difference(after, before), difference(counted_after, counted_before)
    cpu, wall = seen["cpu"] / 1e3, seen["wall"] / 1e9
    done = scenario.done(counted)
    checks = []
    for what, one, other in scenario.checks(counted, seen):
        off = other / one - 1 if one else 1
        checks.append((what, round(off, 4)))
        if abs(off) > TOLERANCE:
            fail(f"{what}: {one:.0f} and {other:.0f} are not the same")
    return {
        "cpu_us": cpu / done,
        "per_second": done / wall,
        "busy": cpu / 1e6 / wall,
        "checks": checks,
    }


def table(data):
    """All runs, case by case: the median, with the least and the most."""
    runs = [json.loads(line) for line in data.read_text().splitlines()]
    for scenario in scenarios.ALL:
        figures = {}
        for run in runs:
            if run["case"] == scenario.name:
                figures.setdefault(run["server"], []).append(run)
        if not figures:
            continue
        floor = statistics.median(run["cpu_us"] for run in figures.get("floor", [{"cpu_us": 0}]))
        print(f"\n{scenario.name}: {scenario.title}\n")
        unit = f"µs of CPU per {scenario.unit}"
        print(f"| server | {unit} | to the floor | per second | server's CPU |")
        print("|---|---|---|---|---|")
        for name, of in figures.items():
            costs = [run["cpu_us"] for run in of]
            middle = statistics.median(costs)
            ratio = f"{middle / floor:.2f}" if floor else "-"
            rate = statistics.median(run["per_second"] for run in of)
            busy = statistics.median(run["busy"] for run in of)
            span = f"{middle:.2f} ({min(costs):.2f} .. {max(costs):.2f})"
            print(f"| {name} | {span} | {ratio} | {rate:,.0f} | {busy:.0%} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", default=",".join(scenario.name for scenario in scenarios.ALL))
    parser.add_argument("--servers", default="roomful,floor,node,bun,socketioxide")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--data", type=pathlib.Path, default=WORK / "runs.jsonl")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if args.table:
        return table(args.data)

    # The processes that run are ended then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    servers = {name: (command, env) for name, command, env in contestants()}
    cases = {scenario.name: scenario for scenario in scenarios.ALL}
    for kind, known, wanted in (("server", servers, args.servers), ("case", cases, args.cases)):
        for name in wanted.split(","):
            if name not in known:
                fail(f"there is no {kind} {name}, but {', '.join(known)}")
    WORK.mkdir(parents=True, exist_ok=True)
    # Erlang wants its registry of nodes; left to itself it would start one that stays.
    registry = free_port()
    failed = []
    epmd = pinned(TOOL_CPU, "epmd", "-port", registry, "-address", "127.0.0.1")
    with ended(epmd), args.data.open("a") as data:
        for name in args.cases.split(","):
            for _ in range(args.repetitions):
                for server in args.servers.split(","):
                    if not cases[name].takes(server):
                        continue
                    command, env = servers[server]
                    # One address for each run: closed connections keep their ports for a while.
                    address = f"127.0.1.{int(time.time()) % 250 + 1}"
                    try:
                        run = measure(cases[name], command, env, args.seconds, address, registry)
                    except Failure as failure:
                        failed.append(f"{name} {server}: {failure}")
                        print(failed[-1], file=sys.stderr)
                        continue
                    run = {"case": name, "server": server, **run}
                    print(json.dumps(run), file=data, flush=True)
                    figures = f"{run['cpu_us']:.2f} µs, {run['per_second']:,.0f} a second"
                    print(f"{name} {server}: {figures}, {dict(run['checks'])}", file=sys.stderr)
    table(args.data)
    if failed:
        fail("\n".join(["these runs failed, and are not in the table:", *failed]))


main()
