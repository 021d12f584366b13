import { bytes, duration, number, percent, rate } from "./format.js";
import { Table, element, write } from "./table.js";

const LONGEST_WAIT = 30_000;
const TOKEN = "snakepit-token";
const byId = (id) => document.getElementById(id);

// -- what changes between two looks

const streamsBefore = new Map();
const callsBefore = { at: null, calls: 0, rate: null };

function chunkRate(stream, now) {
  const key = `${stream.pool} ${stream.id}`;
  const before = streamsBefore.get(key);
  const chunks = stream.chunks + stream.sent;
  streamsBefore.set(key, { at: now, chunks });
  if (before !== undefined && now > before.at) {
    return (1000 * (chunks - before.chunks)) / (now - before.at);
  }
  return stream.age_ms > 0 ? (1000 * chunks) / stream.age_ms : null;
}

function callRate(pools, now) {
  const calls = pools.reduce((sum, pool) => sum + pool.requests, 0);
  if (callsBefore.at !== null && calls >= callsBefore.calls) {
    callsBefore.rate = (1000 * (calls - callsBefore.calls)) / (now - callsBefore.at);
  }
  Object.assign(callsBefore, { at: now, calls });
  return callsBefore.rate;
}

// -- the tables

const tones = {
  ready: "good", starting: "warn", failing: "bad", leaving: "warn", draining: "warn",
  running: "good", failed: "bad", expired: "bad",
};
const state = { label: "State", value: (item) => item.state, tone: (item) => tones[item.state] ?? "" };
const pool = { label: "Pool", value: (item) => item.pool, kind: "quiet" };
const worker = { label: "Worker", value: (item) => item.worker_id, kind: "quiet" };
const request = { label: "Request", value: (item) => item.request_id, kind: "quiet" };
const age = { label: "Age", value: (item) => duration(item.age_ms), kind: "number" };
const command = { label: "Command", value: (item) => item.command, kind: "name" };
const figure = (label, value) => ({ label, value, kind: "number" });
const table = (id, key, nothing, columns) => new Table(byId(id), columns, key, nothing);

const tables = {
  streams: table("streams", (stream) => `${stream.pool} ${stream.id}`, "No stream is running.", [
    command,
    worker,
    figure("Chunks", (stream) =>
      stream.sent > 0 ? `${number(stream.sent)} sent, ${number(stream.chunks)} back` : number(stream.chunks)),
    figure("Rate", (stream) => rate(stream.rate)),
    figure("Data", (stream) => bytes(stream.bytes)),
    {
      label: "Flow",
      value: (stream) => (stream["stalled?"] ? "stalled" : "flowing"),
      tone: (stream) => (stream["stalled?"] ? "warn" : "good"),
    },
    figure("Stalled for", (stream) => (stream.stalled_ms > 0 ? duration(stream.stalled_ms) : null)),
    age,
    request,
    {
      label: "",
      button: "Cancel",
      describe: (stream) => `Cancel the stream ${stream.command}, request ${stream.request_id ?? stream.id}`,
      press: (stream, button) => cancel(stream, button),
    },
  ]),
  workers: table("workers", (worker) => `${worker.pool} ${worker.id}`, "No worker is running.", [
    { label: "Worker", value: (worker) => worker.id, kind: "name" },
    state,
    {
      label: "In flight", kind: "number",
      value: (worker) => `${worker.in_flight} of ${worker.capacity}`,
      part: (worker) => worker.in_flight / worker.capacity,
    },
    {
      label: "CPU", kind: "number",
      value: (worker) => percent(worker.cpu_percent),
      part: (worker) => worker.cpu_percent / 100,
    },
    figure("Memory", (worker) => bytes(worker.rss_bytes)),
    figure("Calls", (worker) => number(worker.requests)),
    figure("Restarts", (worker) => number(worker.restarts)),
    age,
    { label: "PID", value: (worker) => worker.os_pid, kind: "number" },
    { label: "Transport", value: (worker) => worker.transport, kind: "quiet" },
  ]),
  pools: table("pools", (pool) => pool.name, "No pool is running.", [
    { label: "Pool", value: (pool) => pool.name, kind: "name" },
    { label: "Ready", value: (pool) => `${pool.ready} of ${pool.workers}`, tone: (pool) => (pool.ready < pool.workers ? "warn" : "good") },
    {
      label: "Busy slots", kind: "number",
      value: (pool) => `${pool.busy_slots} of ${pool.busy_slots + pool.free_slots}`,
      part: (pool) => pool.busy_slots / Math.max(pool.busy_slots + pool.free_slots, 1),
    },
    {
      label: "Queue", kind: "number",
      value: (pool) => `${number(pool.queued)} of ${number(pool.queue_limit)}`,
      part: (pool) => pool.queued / Math.max(pool.queue_limit, 1),
    },
    figure("Calls", (pool) => number(pool.requests)),
    figure("Errors", (pool) => number(pool.errors)),
    figure("Timeouts", (pool) => number(pool.timeouts + pool.queue_timeouts)),
    figure("Rejected", (pool) => number(pool.rejected)),
    figure("Restarts", (pool) => number(pool.restarts)),
    figure("Sessions", (pool) => number(pool.sessions)),
  ]),
  jobs: table("jobs", (job) => job.id, "No job was submitted.", [
    command,
    state,
    {
      label: "Progress", kind: "number",
      value: (job) => (typeof job.progress === "number" ? `${Math.round(100 * job.progress)} %` : null),
      part: (job) => job.progress,
    },
    figure("Rows", (job) => (job.rows > 0 ? number(job.rows) : null)),
    figure("Ran for", (job) => duration(job.ran_ms)),
    age,
    { label: "Message", value: (job) => job.message, kind: "long" },
    { label: "Job", value: (job) => job.id, kind: "quiet" },
  ]),
  errors: table("errors", (error) => error.number, "No error so far.", [
    { label: "When", value: (error) => `${duration(error.age_ms)} ago`, kind: "number" },
    { label: "Kind", value: (error) => error.kind, tone: () => "bad" },
    command,
    { label: "What", value: (error) => error.message, kind: "long" },
    { label: "Where", value: (error) => error.worker_id ?? error.pool, kind: "quiet" },
    request,
  ]),
  sessions: table("sessions", (session) => `${session.pool} ${session.id}`, "No session lives.", [
    { label: "Session", value: (session) => session.id, kind: "name" },
    pool,
    worker,
    figure("Unused for", (session) => duration(session.idle_ms)),
    age,
  ]),
};

// -- the figures on top

const tiles = new Map();

function tile(label, value, note = "", tone = "") {
  let parts = tiles.get(label);
  if (parts === undefined) {
    const box = element("div");
    parts = { box, value: element("dd"), note: element("dd", "note") };
    box.append(element("dt", "", label), parts.value, parts.note);
    byId("figures").append(box);
    tiles.set(label, parts);
  }
  write(parts.value, String(value));
  write(parts.note, note);
  if (parts.box.className !== tone) parts.box.className = tone;
}

function sum(items, key) {
  return items.reduce((total, item) => total + item[key], 0);
}

function showFigures({ pools, streams, jobs }, calls) {
  const [ready, workers] = [sum(pools, "ready"), sum(pools, "workers")];
  const stalled = streams.filter((stream) => stream["stalled?"]).length;
  const busy = sum(pools, "busy_slots");
  const failed = sum(pools, "errors") + sum(pools, "timeouts") + sum(pools, "queue_timeouts") + sum(pools, "rejected");

  tile("Workers ready", `${ready} of ${workers}`, "", ready < workers ? "warn" : "");
  tile("Calls", rate(calls) ?? "…", `${number(sum(pools, "requests"))} so far`);
  tile("Busy slots", number(busy), `${number(sum(pools, "free_slots"))} free`);
  tile("Waiting", number(sum(pools, "queued")), "for a slot", sum(pools, "queued") > 0 ? "warn" : "");
  tile("Streams", number(streams.length), stalled > 0 ? `${stalled} stalled` : "");
  tile("Jobs running", number(jobs.counts.running), `${number(jobs.counts.queued)} queued`);
  tile("Errors", number(failed), `${number(sum(pools, "restarts"))} restarts`, failed > 0 ? "bad" : "");
}

function show(state, now) {
  write(byId("node"), state.node === "nonode@nohost" ? "" : state.node);
  for (const stream of state.streams) stream.rate = chunkRate(stream, now);
  const alive = new Set(state.streams.map((stream) => `${stream.pool} ${stream.id}`));
  for (const key of streamsBefore.keys()) if (!alive.has(key)) streamsBefore.delete(key);

  showFigures(state, callRate(state.pools, now));
  const jobs = Object.values(state.jobs.counts).reduce((total, count) => total + count, 0);
  tables.streams.update(state.streams);
  tables.workers.update(state.workers);
  tables.pools.update(state.pools);
  tables.jobs.update(state.jobs.latest, jobs);
  tables.errors.update(state.errors);
  tables.sessions.update(state.sessions, sum(state.pools, "sessions"));
}

// -- looking again and again

let timer = null;
let failures = 0;
let looking = false;

function say(state, text) {
  const connection = byId("connection");
  connection.dataset.state = state;
  write(connection, text);
  document.body.classList.toggle("stale", state === "gone");
}

async function look() {
  if (looking) return;
  looking = true;
  let wait;
  try {
    const response = await fetch("/state.json", { cache: "no-store", signal: AbortSignal.timeout(10_000) });
    if (!response.ok) throw new Error(await response.text());
    const state = await response.json();
    show(state, performance.now());
    failures = 0;
    wait = state.interval;
    say("live", "Live");
  } catch {
    failures += 1;
    wait = Math.min(1000 * 2 ** (failures - 1), LONGEST_WAIT);
    say("gone", `No answer; next try in ${Math.round(wait / 1000)} s`);
  }
  looking = false;
  timer = document.hidden ? null : setTimeout(look, wait);
}

// Nobody sees a hidden page.
document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  timer = null;
  if (!document.hidden) look();
});

// -- cancelling

function askForToken(why) {
  const dialog = byId("ask");
  const input = byId("token");
  write(byId("ask-why"), why);
  input.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "given" ? input.value.trim() : null);
  });
}

byId("ask").querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  byId("ask").close("given");
});
byId("ask-back").addEventListener("click", () => byId("ask").close(""));

async function cancel(stream, button) {
  let why = "";
  button.disabled = true;
  for (;;) {
    const token = sessionStorage.getItem(TOKEN) ?? (await askForToken(why));
    if (token === null) break;
    const path = `/streams/${encodeURIComponent(stream.pool)}/${encodeURIComponent(stream.id)}/cancel`;
    const response = await fetch(path, {
      method: "POST",
      headers: { "x-snakepit-token": token },
    }).catch(() => null);
    if (response === null || response.status !== 403) {
      if (response !== null) sessionStorage.setItem(TOKEN, token);
      clearTimeout(timer);
      look();
      break;
    }
    sessionStorage.removeItem(TOKEN);
    why = "That is not the token.";
  }
  button.disabled = false;
}

look();
