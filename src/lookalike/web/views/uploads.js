// Files on their way into the index. They go on while other views are shown, and are known again after a reload.

import { Problem, authorization, getJson, hasKey, postJson, problemOf } from "../api.js";

const AT_A_TIME = 3;
const AGAIN_MS = [1000, 2000, 4000, 8000, 15_000];
const ASK_MS = 600; // how often the jobs are asked for
const JOBS_A_TIME = 200;
const MOST_REMEMBERED = 2000;
const MEMORY = "lookalike-added";
const TIMEOUT_S = 120; // for one file, slow lines included

/** A row is {id, name, size, asked, project, state, sent, job, content, reason, twin}, and its `file` as long as there is one:
 *  `asked` is the project that was asked for, `project` the one that the service chose for none.
 *  Its states: "queued", "sending", "waiting", "working", "stored", "duplicate", "failed", and "lost": reloaded too soon. */
export const rows = new Map();
export const ENDED = ["stored", "duplicate", "failed", "lost"];

let changed = () => {};
let problem = () => {};
let nSending = 0;
let failures = 0;
let pause = 0;
let asking = 0;
let saving = 0;

/** Who is told of every change, and of what stops all of them. */
export function watch(onChange, onProblem) {
  [changed, problem] = [onChange, onProblem];
}

// With a key what was added is kept as the key is: until the tab is closed.
const memory = () => (hasKey() ? sessionStorage : localStorage);

/** The files of before a reload. Those that had not been sent are lost to the page until they are chosen again. */
export function recall() {
  if (rows.size) return;
  for (const row of JSON.parse(memory().getItem(MEMORY) ?? "[]")) {
    const isKept = row.job || ENDED.includes(row.state);
    rows.set(row.id, { ...row, state: isKept ? row.state : "lost" });
  }
  askForJobs();
}

function touch() {
  changed();
  saving ||= setTimeout(remember, 300);
}

function remember() {
  saving = 0;
  const kept = [...rows.values()].slice(-MOST_REMEMBERED).map(({ file, sent, ...row }) => row);
  try {
    memory().setItem(MEMORY, JSON.stringify(kept));
  } catch {
    // There is no room: after a reload the page knows less, and the service as much as before.
  }
}
addEventListener("pagehide", remember);

/** Forget the files that have ended. */
export function forgetEnded() {
  for (const [id, row] of rows) if (ENDED.includes(row.state)) rows.delete(id);
  touch();
}

/** Take files: [{file, path}]. One that was taken before, of the same name, size and date, is sent again only if it failed. */
export function add(files, project) {
  for (const { file, path } of files) {
    // Files of one name from two cameras are two pictures.
    const id = `${path}@${file.lastModified.toString(36)}-${file.size.toString(36)}`;
    const before = rows.get(id);
    const isHere = before?.asked === project;
    if (isHere && (before.file || ["waiting", "working", "stored", "duplicate"].includes(before.state))) continue;
    rows.delete(id);
    rows.set(id, { id, name: path, size: file.size, asked: project, project, state: "queued", file });
  }
  touch();
  sendMore();
}

export function again(row) {
  Object.assign(row, { state: row.job ? "waiting" : "queued", reason: "" });
  touch();
  if (!row.job) return sendMore();
  const asked = postJson("jobs/replay", { jobs: [row.job] });
  asked.catch(problem).finally(askForJobs);
}

function sendMore() {
  if (pause) return;
  for (const row of rows.values()) {
    if (nSending >= AT_A_TIME) return;
    if (row.state !== "queued" || !row.file) continue;
    nSending++;
    row.state = "sending";
    send(row)
      .then((answer) => taken(row, answer), (error) => refused(row, error))
      .finally(() => {
        nSending--;
        touch();
        sendMore();
      });
  }
}

function taken(row, { jobs: [{ job, content, project }] }) {
  Object.assign(row, { job, content, project, state: "waiting", sent: 1 });
  delete row.file;
  failures = 0;
  askForJobs();
}

function refused(row, error) {
  if (error.retryable || error.status === 401 || error.status === 429) {
    row.state = "queued"; // the file is good, only the time is not
    pause ||= setTimeout(() => {
      pause = 0;
      sendMore();
    }, AGAIN_MS[Math.min(failures++, AGAIN_MS.length - 1)]);
    problem(error);
  } else {
    Object.assign(row, { state: "failed", reason: error.message });
    if (error.status === 403 && !row.project) problem(error); // of a project the row says it, where another can be named
  }
}

/** One file, with its progress, which only an XMLHttpRequest tells. */
function send(row) {
  const facts = { id: row.id, caption: row.name.split("/").pop() };
  if (row.project) facts.project = row.project;
  const words = new URLSearchParams(facts);
  const folder = row.name.split("/").slice(0, -1).join("/");
  if (folder) words.append("metadata", `folder:${folder}`);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `items?${words}`);
    request.responseType = "json";
    request.timeout = TIMEOUT_S * 1000;
    const headers = { ...authorization(), "Content-Type": "application/octet-stream", "X-Request-Timeout": TIMEOUT_S };
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => {
      row.sent = loaded / total;
      changed();
    };
    request.onload = () => (request.status === 202 ? resolve(request.response) : reject(problemOf(request.response, request)));
    request.onerror = request.ontimeout = () => reject(new Problem("", { retryable: true }));
    request.send(row.file);
  });
}

/** Ask what has become of the jobs, until all have ended; not while nobody looks at the page. */
function askForJobs() {
  asking ||= setTimeout(async () => {
    asking = 0;
    if (document.hidden) return document.addEventListener("visibilitychange", askForJobs, { once: true });
    const open = [...rows.values()].filter(({ job, state }) => job && !ENDED.includes(state)).slice(0, JOBS_A_TIME);
    if (!open.length) return;
    try {
      const { jobs } = await getJson(`jobs?${new URLSearchParams(open.map(({ job }) => ["job", job]))}`);
      await Promise.all(open.map((row) => update(row, jobs.find(({ job }) => job === row.job))));
      failures = 0;
      touch();
    } catch (error) {
      problem(error);
    }
    askForJobs();
  }, ASK_MS * 2 ** Math.min(failures, 4));
}

/** Why a job failed, without the name, which stands beside it. */
export const reasonOf = ({ id, reason }) => (reason.startsWith(`${id}: `) ? reason.slice(id.length + 2) : reason);

async function update(row, job) {
  // What was done long ago is not known any more.
  if (!job || job.state === "done") await stored(row);
  else Object.assign(row, { state: job.state === "dead" ? "failed" : job.state, reason: reasonOf(job) });
}

/** It is in the index: is it there twice? */
async function stored(row) {
  const query = [{ item: row.id, project: row.project }];
  const alike = await postJson("search/images", { query, limit: 8 }).catch((error) => {
    if (error.retryable) throw error;
    return { hits: [] }; // the key may not search, or sees several projects: then it is not known
  });
  const order = [...rows.keys()];
  const twin = alike.hits.find(({ item }) => item.content === row.content && order.indexOf(item.id) < order.indexOf(row.id));
  Object.assign(row, twin ? { state: "duplicate", twin: twin.item.caption || twin.item.uri || twin.item.id } : { state: "stored" });
}
