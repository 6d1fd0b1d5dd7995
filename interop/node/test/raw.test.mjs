import assert from "node:assert/strict";
import { suite } from "../support/suite.mjs";
import { range } from "../support/wait.mjs";

const isAck = (packet) => String(packet).startsWith("43");

suite("raw", ({ eachMode }) => {
  // First, so that the others run while it waits.
  eachMode("a connection that joins nothing is closed in time", async (bench) => {
    // Time enough for the member to join on a machine that stalls.
    await bench.start({ CONNECT_TIMEOUT: "5000" });
    const idle = await bench.raw();
    const refused = await bench.raw();
    const member = await joined(bench);
    await refused.send("40/nowhere,");
    await idle.drain();
    await refused.drain();
    await expectAlive(member);
  });

  for (const [nsp, prefix] of [["/", ""], ["/slow", "/slow,"]]) {
    eachMode(`an event in the same breath as CONNECT to ${nsp} is handled`, async (bench) => {
      const all = range(20).map(async (i) => {
        const raw = await bench.raw();
        await raw.send(`40${prefix}`, `42${prefix}["echo",${i}]`, `42${prefix}7["echo-ack",${i}]`);
        await raw.next((packet) => packet === `42${prefix}["echo",${i}]`);
        await raw.next((packet) => packet === `43${prefix}7[${i}]`);
      });
      await Promise.all(all);
    });

    eachMode(`an event right behind the answer to CONNECT to ${nsp} is handled`, async (bench) => {
      const all = range(50).map(async (i) => {
        const raw = await bench.raw();
        await raw.send(`40${prefix}`);
        await raw.next((packet) => packet.startsWith(`40${prefix}{`));
        await raw.send(`42${prefix}0["echo-ack",${i}]`);
        assert.equal(await raw.next((packet) => packet.startsWith(`43${prefix}`)), `43${prefix}0[${i}]`);
      });
      await Promise.all(all);
    });
  }

  eachMode("the answer to CONNECT comes before any event", async (bench) => {
    const raw = await bench.raw();
    await raw.send("40");
    const [answer, welcome] = [await raw.next(), await raw.next()];
    assert.match(answer, /^40\{"sid":"[\w-]{20}"\}$/);
    const { sid } = JSON.parse(answer.slice(2));
    assert.deepEqual(JSON.parse(welcome.slice(2)), ["welcome", { id: sid, auth: {} }]);
    assert.notEqual(sid, raw.handshake.sid);
  });

  eachMode("the comma after a namespace may be missing at the end", async (bench) => {
    const raw = await bench.raw();
    await raw.send("40/a");
    assert.match(await raw.next(), /^40\/a,\{"sid":/);
  });

  eachMode("refusals are told to their namespace", async (bench) => {
    const raw = await bench.raw();
    await raw.send("40/nowhere,");
    assert.equal(await raw.next(), '44/nowhere,{"message":"Invalid namespace"}');
    await raw.send('40/admin,{"token":"guess"}');
    const refusal = await raw.next();
    assert.ok(refusal.startsWith("44/admin,"));
    assert.deepEqual(JSON.parse(refusal.slice(9)), { message: "not allowed", data: { code: 401, hint: "bad token" } });
    await expectAlive(raw);
  });

  eachMode("a second CONNECT to a namespace closes the connection", async (bench) => {
    const raw = await joined(bench);
    await raw.send("40");
    await raw.drain();
  });

  eachMode("an event to a namespace never joined closes the connection", async (bench) => {
    const raw = await joined(bench);
    await raw.send('42/a,["echo",1]');
    const seen = await raw.drain();
    assert.ok(!seen.some((packet) => packet.startsWith("42/a")));
  });

  eachMode("an event before any CONNECT closes the connection", async (bench) => {
    const raw = await bench.raw();
    await raw.send('42["echo",1]');
    assert.deepEqual(await raw.drain().then(messages), []);
  });

  const malformed = {
    "an unknown packet type": "49[]",
    "a packet without a type": "4",
    "broken JSON": '42["echo",',
    "an event that is no array": '42{"a":1}',
    "an event without a name": "42[]",
    "an event whose name is an object": '42[{"a":1}]',
    "a reserved name: connect": '42["connect"]',
    "a reserved name: disconnect": '42["disconnect"]',
    "an answer that is no array": '431{"a":1}',
    "a refusal from the client": '44{"message":"no"}',
    "a goodbye with a payload": "41[1]",
    "too many attachments": '4511-["echo",{"_placeholder":true,"num":0}]',
    "a billion attachments": '451000000000-["echo"]',
    "attachments without a number": '45-["echo"]',
  };
  for (const [what, packet] of Object.entries(malformed)) {
    eachMode(`${what} closes the connection`, async (bench) => {
      const raw = await joined(bench);
      await raw.send(packet);
      assert.deepEqual(await raw.drain().then(messages), []);
    });
  }

  eachMode("text where bytes are due closes the connection", async (bench) => {
    const raw = await joined(bench);
    await raw.send('451-["echo",{"_placeholder":true,"num":0}]', '42["echo",1]');
    assert.deepEqual(await raw.drain().then(messages), []);
  });

  eachMode("bytes where none are due close the connection", async (bench) => {
    const raw = await joined(bench);
    await raw.send(bench.mode.name === "polling" ? "bAQID" : Buffer.from([1, 2, 3]));
    assert.deepEqual(await raw.drain().then(messages), []);
  });

  eachMode("a placeholder out of range closes the connection", async (bench) => {
    const raw = await joined(bench);
    const attachment = bench.mode.name === "polling" ? "bAQID" : Buffer.from([1, 2, 3]);
    await raw.send('451-["echo",{"_placeholder":true,"num":5}]', attachment);
    assert.deepEqual(await raw.drain().then(messages), []);
  });

  eachMode("answers nobody waits for are dropped", async (bench) => {
    const raw = await joined(bench);
    await raw.send('430["x"]', '43999999["x"]', '439007199254740991["x"]');
    await expectAlive(raw);
  });

  eachMode("an answer counts once", async (bench) => {
    const raw = await joined(bench);
    await raw.send('42["ask",1]');
    const question = await raw.next((packet) => packet.includes("question"));
    const [, id] = question.match(/^42(\d+)\["question",1\]$/);
    await raw.send(`43${id}["one"]`, `43${id}["two"]`);
    assert.equal(await raw.next(), '42["answer","one"]');
    await raw.send('421["echo-ack","end"]');
    assert.equal(await raw.next(), '431["end"]');
  });

  eachMode("ack numbers come back as they went out", async (bench) => {
    const raw = await joined(bench);
    for (const id of ["0", "7", "4294967296", "9007199254740991"]) {
      await raw.send(`42${id}["echo-ack",1]`);
      assert.equal(await raw.next(isAck), `43${id}[1]`);
    }
  });

  eachMode("deep nesting hurts nobody", async (bench) => {
    const raw = await joined(bench);
    const depth = 500;
    await raw.send(`420["echo-ack",${"[".repeat(depth)}${"]".repeat(depth)}]`);
    assert.equal(await raw.next(isAck), `430[${"[".repeat(depth)}${"]".repeat(depth)}]`);
  });

  eachMode("a goodbye to one namespace leaves the engine open for another CONNECT", async (bench) => {
    const raw = await joined(bench);
    await raw.send("41");
    await raw.send("40/a,");
    assert.match(await raw.next(), /^40\/a,\{"sid":/);
  });

  eachMode("after a goodbye the same namespace can be joined again", async (bench) => {
    const raw = await joined(bench);
    await raw.send("41");
    // The answer of another namespace shows that the goodbye has been heard.
    await expectAlive(raw);
    await raw.send("40");
    await raw.next((packet) => packet.startsWith("40{"));
  });

  eachMode("a goodbye and a new CONNECT in the same breath are both heard", async (bench) => {
    const all = range(20).map(async () => {
      const raw = await joined(bench);
      await raw.send("41", "40");
      await raw.next((packet) => packet.startsWith("40{"));
    });
    await Promise.all(all);
  });
}, { concurrency: 4 });

/** A raw connection in the main namespace, with its welcome read. */
async function joined(bench) {
  const raw = await bench.raw();
  await raw.send("40");
  await raw.next((packet) => packet.startsWith('42["welcome"'));
  return raw;
}

async function expectAlive(raw) {
  await raw.send("40/b,");
  await raw.next((packet) => packet.startsWith("40/b,{"));
}

/** What the server had to say above the engine's own packets. */
function messages(packets) {
  return packets.filter((packet) => String(packet).startsWith("4"));
}
