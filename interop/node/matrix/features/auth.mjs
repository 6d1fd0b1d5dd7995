import assert from "node:assert/strict";
import { ask, idOf, once, refusal } from "../bench.mjs";
import { oldMsgpackNamespaces } from "../missing.mjs";

export default {
  title: "auth",
  missing: oldMsgpackNamespaces,

  async test(bench) {
    const { auth: by } = bench.client;
    const given = (auth) => ({ nsp: "/admin", [by === "query" ? "query" : "auth"]: auth });
    const admin = bench.open(given({ token: "letmein", name: "Zoë 雪" }));
    const [welcome] = await once(admin, "welcome");
    assert.deepEqual(welcome, { id: idOf(admin), auth: { token: "letmein", name: "Zoë 雪" } });
    assert.equal(await ask(admin, "echo-ack", "in"), "in");

    for (const auth of [{ token: "guess" }, undefined]) {
      const stranger = bench.open(given(auth));
      const [error] = await once(stranger, refusal(stranger));
      assert.equal(stranger.connected, false);
      // An old client is told the data alone.
      if (by === "payload") assert.equal(error.message, "not allowed");
      assert.deepEqual(by === "payload" ? error.data : error, { code: 401, hint: "bad token" });
    }
  },
};
