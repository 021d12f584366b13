// The life of a worker process: its start, its end, and what costs it.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { startWorker } from "./support/worker.js";

const BRIDGE = fileURLToPath(new URL("../grpc_bridge.js", import.meta.url));

/** @param {string[]} args */
const bridge = (args) =>
  spawnSync(process.execPath, [BRIDGE, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

test("the socket is for its owner alone", async () => {
  const worker = await startWorker();
  assert.equal(statSync(worker.socket).mode & 0o777, 0o600);
  await worker.stop();
});

test("over TCP it takes no call without the token, which handlers do not see", async () => {
  const worker = await startWorker({ where: ["--port", "0"], env: { SNAKEPIT_TOKEN: "s3cret" } });
  assert.match(worker.address, /^http:\/\/127\.0\.0\.1:\d+$/);
  const good = worker.client("s3cret");
  assert.equal((await good.execute("about")).result.token, undefined);
  for (const token of [undefined, "wrong!", ""]) {
    const bad = worker.client(token);
    const failed = await bad.execute("ping").catch((error) => error);
    assert.deepEqual([failed.code, failed.details], [16, "the worker's token is missing or wrong"]);
    bad.close();
  }
  good.close();
  await worker.stop();
});

test("it ends with its standard input, with its hooks and its socket", async () => {
  const worker = await startWorker();
  const client = worker.client();
  client.raw.Execute({ command: "wait" }, () => {});
  while (!(await client.execute("state")).result.waiting);
  worker.child.stdin.end();
  assert.equal((await worker.exit).signal, "SIGKILL");
  await worker.closed;
  assert.ok(worker.lines.some((line) => line.includes("wait ended: true")));
  assert.ok(worker.lines.some((line) => line.includes("stopped")));
  assert.equal(existsSync(dirname(worker.socket)), false);
  client.close();
});

test("it ends with its standard input even when a handler never returns", async () => {
  const worker = await startWorker();
  const client = worker.client();
  client.raw.Execute({ command: "busy" }, () => {});
  await worker.line((line) => line.includes("busy begins"));
  worker.child.stdin.end();
  assert.equal((await worker.exit).signal, "SIGKILL");
  client.close();
});

test("it ends with its standard input while it imports", async () => {
  const directory = mkdtempSync(join(tmpdir(), "snakepit-js-"));
  const module = join(directory, "hanging.mjs");
  writeFileSync(module, 'console.log("hangs"); for (;;);');
  const starting = startWorker({ modules: [module] });
  const worker = await Promise.race([starting, hanging(starting)]);
  assert.equal((await worker.exit).signal, "SIGKILL");
  rmSync(directory, { recursive: true });
});

/** A worker that does not become ready, with its input closed. @param {Promise<import("./support/worker.js").TestWorker>} starting */
async function hanging(starting) {
  const { TestWorker } = await import("./support/worker.js");
  const { started } = TestWorker.latest;
  await TestWorker.latest.line((line) => line.includes("hangs"));
  TestWorker.latest.child.stdin.end();
  await started;
  return starting;
}

test("SIGTERM lets calls end, refuses new ones, and runs the hooks", async () => {
  const worker = await startWorker();
  const client = worker.client();
  const answer = client.execute("sleep", { ms: 300 });
  await worker.line((line) => line.includes("sleep begins"));
  worker.child.kill("SIGTERM");
  assert.equal((await answer).result.slept, 300);
  assert.deepEqual(await worker.exit, { code: 0, signal: null });
  await worker.closed;
  assert.ok(worker.lines.some((line) => line.includes("stopped")));
  client.close();
});

test("SIGTERM waits no longer than it may", async () => {
  const worker = await startWorker({ args: ["--shutdown-timeout-ms", "50"] });
  const client = worker.client();
  const answer = client.execute("wait").catch((error) => error);
  while (!(await client.execute("state")).result.waiting);
  worker.child.kill("SIGTERM");
  assert.deepEqual(await worker.exit, { code: 0, signal: null });
  assert.ok((await answer) instanceof Error);
  client.close();
});

test("a handler that goes on after its cancellation costs the process, busy or not", async () => {
  for (const command of ["busy", "deaf"]) {
    const worker = await startWorker({ args: ["--cancel-grace-ms", "100"] });
    const client = worker.client();
    const call = client.raw.Execute({ command }, () => {});
    await worker.line((line) => line.includes(`${command} begins`));
    assert.equal((await client.unary("Health", {})).activeRequests, 1);
    call.cancel();
    assert.equal((await worker.exit).signal, "SIGKILL");
    await worker.closed;
    const told = `snakepit: ${command} went on for 100 ms after its cancellation; worker worker ends, and is replaced`;
    assert.ok(worker.lines.includes(told), worker.lines.join("\n"));
    client.close();
  }
});

test("a call that waits behind a busy one and is cancelled costs nothing", async () => {
  const worker = await startWorker({ args: ["--cancel-grace-ms", "50"] });
  const client = worker.client();
  const busy = client.execute("busy_for", { ms: 400 });
  await worker.line((line) => line.includes("busy_for begins"));
  client.raw.Execute({ command: "deaf" }, () => {}).cancel();
  assert.equal((await busy).success, true);
  assert.equal((await client.execute("ping")).success, true);
  client.close();
  await worker.stop();
});

test("no more handlers run at once than the capacity, and a cancelled one gives its place", async () => {
  const worker = await startWorker({ args: ["--capacity", "1"] });
  const client = worker.client();
  const first = client.raw.Execute({ command: "wait" }, () => {});
  await worker.line((line) => line.includes("wait begins"));
  const second = client.execute("ping");
  while ((await client.unary("Health", {})).activeRequests < 2);
  first.cancel();
  assert.equal((await second).success, true);
  client.close();
  await worker.stop();
});

test("an exception that nobody catches ends the process and is told", async () => {
  const worker = await startWorker();
  const client = worker.client();
  await client.execute("throw_behind").catch(() => {});
  assert.deepEqual(await worker.exit, { code: 1, signal: null });
  await worker.closed;
  const text = worker.lines.join("\n");
  assert.match(text, /the worker ends, for an exception that nobody caught:\nError: nobody catches\n.*handlers\.js/);
  client.close();
});

test("a start that fails says why", () => {
  const directory = mkdtempSync(join(tmpdir(), "snakepit-js-"));
  writeFileSync(join(directory, "broken.mjs"), 'throw new TypeError("broken module");');
  writeFileSync(
    join(directory, "hook.mjs"),
    'import { onStart } from "snakepit-bridge"; onStart(() => { throw new Error("no licence"); });',
  );
  writeFileSync(join(directory, "taken.sock"), "");
  const cases = /** @type {[string[], number, RegExp][]} */ ([
    [["--module", "broken"], 1, /cannot import the module broken[^]*TypeError: broken module[^]*broken\.mjs/],
    [["--module", "hook"], 1, /an onStart hook failed[^]*no licence/],
    [["--module", "nowhere"], 1, /cannot find the module nowhere: it is no file in /],
    [["--socket", join(directory, "none/w.sock")], 1, /cannot listen on unix:/],
    [["--capacity", "none"], 2, /--capacity takes an integer from 1 to 10000, got 'none'\nTry --help\./],
  ]);
  for (const [args, code, message] of cases) {
    const where = args[0] === "--socket" ? [] : ["--socket", join(directory, "w.sock")];
    const { status, stderr } = bridge([...where, "--path", directory, ...args]);
    assert.equal(status, code, stderr);
    assert.match(stderr, message);
  }
  assert.match(bridge(["--help"]).stdout, /^usage: node grpc_bridge\.js/);
  assert.equal(bridge(["--version"]).stdout, "0.1.0\n");
  rmSync(directory, { recursive: true });
});

test("modules outside of this package find it too", async () => {
  const directory = mkdtempSync(join(tmpdir(), "snakepit-js-"));
  writeFileSync(join(directory, "mine.mjs"), 'import { command } from "snakepit-bridge"; command("mine", () => 7);');
  const worker = await startWorker({ modules: ["mine"], args: ["--path", directory] });
  const client = worker.client();
  assert.deepEqual((await client.execute("mine")).result, { result: 7 });
  client.close();
  await worker.stop();
  rmSync(directory, { recursive: true });
});
