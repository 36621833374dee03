import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import { inspect } from "node:util";
import {
  AccessDeniedError,
  ConnectionError,
  DeadlineError,
  InputError,
  LookalikeClient,
  LookalikeError,
  ServiceError,
  SpaceMismatchError,
  StoreError,
  type ClientOptions,
} from "lookalike-client";

const KEY = "sk-a-secret-that-nobody-may-see";
const SPACE = "tiny-4@0123456789ab";
const VECTOR = [0.5, 0.5, -0.5, 0.5];

type Fault = (response: ServerResponse) => void;

interface Seen {
  path: string;
  headers: IncomingMessage["headers"];
  body: string;
}

describe("against a service that misbehaves", () => {
  let faults: Fault[] = [];
  let seen: Seen[] = [];
  let pauses: number[] = [];
  const server = createServer(async (request, response) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const body = Buffer.concat(pieces).toString();
    seen.push({ path: request.url ?? "", headers: request.headers, body });
    const fault = faults.shift();
    if (fault) fault(response);
    else if (request.headers.accept === "application/octet-stream") raw()(response);
    else json(batch((JSON.parse(body) as { texts: string[] }).texts))(response);
  });

  before(async () => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  beforeEach(() => {
    [faults, seen, pauses] = [[], [], []];
  });

  function client(options: Partial<ClientOptions> = {}): LookalikeClient {
    const { port } = server.address() as AddressInfo;
    const sleep = async (ms: number): Promise<void> => void pauses.push(ms);
    return new LookalikeClient({
      baseUrl: `http://127.0.0.1:${port}/`,
      apiKey: KEY,
      retry: { baseMs: 1000, jitter: () => 1, sleep },
      ...options,
    });
  }

  test("a vector is read from raw float32", async () => {
    const { vector, dimensions, space, model, warning } = await client().generateTextEmbedding("a");
    assert.deepEqual([[...vector], dimensions, space, model, warning], [VECTOR, 4, SPACE, "tiny", undefined]);
    assert.equal(seen[0]?.headers.authorization, `Bearer ${KEY}`);
  });

  test("pictures are handed in in several requests; each has its job or its failure in the caller's order", async () => {
    const items = Array.from({ length: 70 }, (_, index) => ({ uri: `s3://photos/${index}.png` }));
    const job = (index: number) => ({ index, job: 100 + index, id: `i${index}`, project: "p", state: "waiting" });
    const bad = { index: 5, type: "AccessDenied", message: "No.", item: "items[5]", retryable: false };
    const all = (count: number) => Array.from({ length: count }, (_, index) => job(index));
    faults = [json({ jobs: all(64), errors: [] }, 202), json({ jobs: all(5), errors: [bad] }, 202)];
    const { jobs, failures } = await client().addItems(items);
    assert.deepEqual(seen.map(({ path }) => path), ["/items", "/items"]);
    assert.deepEqual(jobs.map((one) => one?.job), [...all(64), ...all(5)].map((one) => one.job).concat([undefined!]));
    assert.deepEqual(failures.map(({ index, type }) => [index, type]), [[69, "AccessDenied"]]);
  });

  test("what is handed in is sent as it was said, bytes as base64", async () => {
    faults = [json({ jobs: [{ index: 0, job: 1, id: "a", project: "p", state: "waiting" }], errors: [] }, 202)];
    const metadata = { colour: "red" };
    const [job] = (await client().addItems([{ image: Buffer.from("abc"), id: "a", project: "p", metadata }])).jobs;
    assert.deepEqual(JSON.parse(seen[0]!.body), { items: [{ image: "YWJj", id: "a", project: "p", metadata }] });
    assert.deepEqual(job, { job: 1, id: "a", project: "p", state: "waiting", attempts: 0, reason: "" });
  });

  test("an answer that leaves a picture without job and failure is no answer", async () => {
    const job = { index: 0, job: 1, id: "a", project: "p", state: "waiting" };
    for (const said of [{}, { jobs: [] }, { jobs: [{ ...job, index: 1 }] }, { jobs: [{ ...job, state: "lost" }] }]) {
      faults = [json(said, 202)];
      await assert.rejects(client().addItems([{ uri: "s3://photos/a.png" }]), ConnectionError);
    }
  });

  test("a job has a reason; one that is not known is a StoreError", async () => {
    const dead = { job: 7, id: "a", project: "p", state: "dead", attempts: 2, reason: "It is cut off." };
    faults = [json(dead), json({ error: { type: "JobNotFound", message: "There is no job 8." } }, 404)];
    assert.deepEqual(await client().job(7), dead);
    await assert.rejects(client().job(8), (error: LookalikeError) => error instanceof StoreError && error.type === "JobNotFound");
    assert.deepEqual(seen.map(({ path }) => path), ["/jobs/7", "/jobs/8"]);
  });

  test("a batch is split, and what comes back is in the caller's order", async () => {
    const texts = Array.from({ length: 150 }, (_, index) => (index === 70 ? "bad" : String(index)));
    const found = await client().generateTextEmbeddings(texts);
    assert.deepEqual(seen.map(({ body }) => (JSON.parse(body) as { texts: string[] }).texts.length), [64, 64, 22]);
    assert.equal(found.vectors.length, 150);
    assert.deepEqual(found.failures.map(({ index, type }) => [index, type]), [[70, "ImageError"]]);
    assert.deepEqual(found.vectors.flatMap((vector, index) => (vector === null ? [index] : [])), [70]);
    assert.deepEqual((await client().generateTextEmbeddings([])).vectors, []);
  });

  test("inputs that there was no room for are asked for again, alone, and come in their order", async () => {
    faults = [crowded(4, [0, 2]), crowded(2, [1])];
    const { vectors, failures } = await client().generateTextEmbeddings(["w", "x", "y", "z"]);
    assert.deepEqual([vectors.map((vector) => vector === null), failures], [[false, false, false, false], []]);
    assert.deepEqual(seen.map(({ body }) => (JSON.parse(body) as { texts: string[] }).texts), [
      ["w", "x", "y", "z"],
      ["w", "y"],
      ["y"],
    ]);
    assert.deepEqual(pauses, [1500, 1500]);
  });

  for (const [name, then, timeoutMs] of [
    ["there is no time", [], 1000],
    ["nobody is there any more", Array<Fault>(9).fill(html(502)), 60_000],
    ["no answer comes", [() => {}], 1700],
  ] as [string, Fault[], number][]) {
    test(`what was answered is kept where ${name} for what there was no room for`, async () => {
      faults = [crowded(2, [1]), ...then];
      const { vectors, failures } = await client().generateTextEmbeddings(["a", "b"], { timeoutMs });
      assert.deepEqual(vectors.map((vector) => vector === null), [false, true]);
      assert.deepEqual(failures.map(({ index, type, retryAfterMs }) => [index, type, retryAfterMs]), [[1, "Overloaded", 500]]);
    });
  }

  test("whoever has had enough gets no part of an answer", async () => {
    const controller = new AbortController();
    const reason = new LookalikeError("enough", { type: "Unavailable", retryable: true });
    faults = [crowded(2, [1]), () => controller.abort(reason)];
    await assert.rejects(client().generateTextEmbeddings(["a", "b"], { signal: controller.signal }), reason);
  });

  test("a text with half a surrogate pair fails alone, at its place", async () => {
    const { vectors, failures } = await client().generateTextEmbeddings(["a", "\ud800", "bad", "b", "\udc00b"]);
    assert.deepEqual(vectors.map((vector) => vector === null), [false, true, true, false, true]);
    assert.deepEqual(failures.map(({ index, type }) => [index, type]), [[1, "InputError"], [2, "ImageError"], [4, "InputError"]]);
    assert.match(failures[0]!.message, /surrogate pair/);
    assert.equal(seen.length, 1);
    assert.equal((await client().generateTextEmbeddings(["\ud83d\ude00"])).failures.length, 0);
  });

  test("half a surrogate pair is not asked for, wherever it stands", async () => {
    const half = "\ud800";
    const error = { name: "InputError", message: /^(text|item|project|where): holds half of a surrogate pair/ };
    await assert.rejects(client().generateTextEmbedding(half), error);
    await assert.rejects(client().searchImages({ text: half }), error);
    await assert.rejects(client().searchImages({ query: [{ text: "a" }, { item: half }] }), error);
    await assert.rejects(client().searchImages({ text: "a" }, { project: half }), error);
    await assert.rejects(client().searchImages({ text: "a" }, { where: { [half]: "red" } }), error);
    assert.equal(seen.length, 0);
  });

  test("a picture whose id or metadata holds half a surrogate pair keeps no others out", async () => {
    faults = [json({ jobs: [{ index: 0, job: 7, id: "i", project: "p", state: "waiting" }], errors: [] }, 202)];
    const halves = [{ id: "\ud800" }, { caption: "\ud800" }, { metadata: { a: "\ud800" } }];
    const items = [...halves, {}].map((said) => ({ uri: "s3://photos/a.png", ...said }));
    const { jobs, failures } = await client().addItems(items);
    assert.deepEqual(jobs.map((job) => job?.job), [undefined, undefined, undefined, 7]);
    assert.deepEqual(failures.map(({ index, message }) => [index, message.split(":")[0]]), [
      [0, "id"],
      [1, "caption"],
      [2, "metadata"],
    ]);
    assert.equal((JSON.parse(seen[0]!.body) as { items: unknown[] }).items.length, 1);
  });

  test("a failure and a warning do not count as the service does, which knows one request of several", async () => {
    const said = { index: 1, message: "texts[1]: is bad." };
    const second = { ...batch(["a", "bad"]), errors: [{ ...said, item: "texts[1]" }], warnings: [said] };
    faults = [json(batch(Array<string>(64).fill("a"))), json(second)];
    const { failures, warnings } = await client().generateTextEmbeddings(Array<string>(66).fill("a"));
    assert.deepEqual([failures[0]!.index, failures[0]!.message], [65, "is bad."]);
    assert.deepEqual(warnings, [{ index: 65, message: "is bad." }]);
  });

  const wrong: [string, Fault, RegExp][] = [
    ["too short", raw({ vector: [0.6, 0.8] }), /4 numbers/],
    ["NaN", raw({ vector: [NaN, 0, 0, 0] }), /length NaN/],
    ["infinite", raw({ vector: [Infinity, 0, 0, 0] }), /length Infinity/],
    ["not of unit length", raw({ vector: [0.5, 0, 0, 0] }), /length 0.5000/],
    ["without a space", raw({ headers: { "X-Space": undefined } }), /which space/],
    ["of no dimensions", raw({ headers: { "X-Dimensions": "many" } }), /which space/],
    ["two of them", raw({ headers: { "X-Count": "2" } }), /one vector/],
    ["the page of a proxy", html(200), /does not seem to be a lookalike service/],
  ];
  for (const [name, fault, message] of wrong) {
    test(`a vector that is wrong is no answer: ${name}`, async () => {
      faults = [fault];
      await assert.rejects(client().generateTextEmbedding("a"), { name: "ConnectionError", message });
      assert.equal(seen.length, 1);
    });
  }

  const wrongBatches: [string, Fault][] = [
    ["too few", json({ ...batch(["a"]), embeddings: [] })],
    ["missing without an error", json({ ...batch(["a"]), embeddings: [null] })],
    ["error of another input", json({ ...batch(["a"]), errors: [{ index: 7 }] })],
    ["not base64", json({ ...batch(["a"]), embeddings: ["***"] })],
    ["no JSON", html(200)],
  ];
  for (const [name, fault] of wrongBatches) {
    test(`a batch that is wrong is no answer: ${name}`, async () => {
      faults = [fault];
      await assert.rejects(client().generateTextEmbeddings(["a"]), ConnectionError);
    });
  }

  test("two spaces never mix", async () => {
    const one = client();
    await one.generateTextEmbedding("a");
    faults = [raw({ headers: { "X-Space": "tiny-4@ffffffffffff" } })];
    await assert.rejects(one.generateTextEmbedding("a"), SpaceMismatchError);
    faults = [json({ hits: [], space: "tiny-4@ffffffffffff" })];
    await assert.rejects(one.searchImages({ text: "a" }), SpaceMismatchError);
  });

  const passing: [string, Fault, (ms: number) => boolean][] = [
    ["429 with seconds", refusal(429, "Overloaded", { "Retry-After": "7" }), (ms) => ms === 8000],
    ["429 with a date", (one) => refusal(429, "Overloaded", { "Retry-After": inSeconds(9) })(one), (ms) => ms > 7000 && ms <= 10_000],
    ["503", refusal(503, "NotReady"), (ms) => ms === 1000],
    ["502 of a proxy", html(502), (ms) => ms === 1000],
    ["half a body", half, (ms) => ms === 1000],
    ["a reset connection", (response) => void response.socket?.resetAndDestroy(), (ms) => ms === 1000],
  ];
  for (const [name, fault, isRight] of passing) {
    test(`what passes is asked again: ${name}`, async () => {
      faults = [fault];
      assert.equal((await client().generateTextEmbedding("a")).space, SPACE);
      assert.equal(seen.length, 2);
      assert.ok(pauses.length === 1 && isRight(pauses[0]!), String(pauses));
    });
  }

  test("who is asked to come back after the deadline is told at once", async () => {
    faults = [refusal(429, "Overloaded", { "Retry-After": "31" })];
    const thrown = client().generateTextEmbedding("a", { timeoutMs: 30_000 });
    await assert.rejects(thrown, (error: ServiceError) => error instanceof ServiceError && error.retryAfterMs === 31_000);
    assert.deepEqual([seen.length, pauses.length], [1, 0]);
  });

  test("tries come to an end", async () => {
    faults = Array<Fault>(9).fill(html(502));
    await assert.rejects(client().generateTextEmbedding("a"), ConnectionError);
    assert.equal(seen.length, 6);
    assert.deepEqual(pauses, [1000, 2000, 4000, 5000, 5000]);
  });

  const lasting: [string, Fault, typeof InputError][] = [
    ["422", refusal(422, "ImageError"), InputError],
    ["401", refusal(401, "AccessDenied"), AccessDeniedError],
    ["504", refusal(504, "DeadlineExceeded"), DeadlineError],
    ["503 that will not pass", refusal(503, "CorruptModel", {}, false), LookalikeError],
    ["a new kind of error", refusal(409, "SomethingNew"), ConnectionError],
    ["500", html(500), ConnectionError],
    ["a redirect", (response) => void response.writeHead(307, { Location: "http://127.0.0.1:9/" }).end(), ConnectionError],
  ];
  for (const [name, fault, kind] of lasting) {
    test(`what lasts is asked once: ${name}`, async () => {
      faults = [fault];
      await assert.rejects(client().generateTextEmbedding("a"), kind);
      assert.equal(seen.length, 1);
    });
  }

  test("an error has the facts that the service told", async () => {
    faults = [refusal(422, "TooLarge")];
    await assert.rejects(client().generateTextEmbedding("a"), {
      name: "InputError",
      message: "No.",
      type: "TooLarge",
      status: 422,
      requestId: "r-1",
      retryable: false,
    });
  });

  const slow: [string, Fault][] = [
    ["silence", () => {}],
    ["a byte now and then", drip],
  ];
  for (const [name, fault] of slow) {
    test(`a call ends with its time: ${name}`, async () => {
      faults = [fault];
      await assert.rejects(client().generateTextEmbedding("a", { timeoutMs: 200 }), DeadlineError);
    });
  }

  test("a large picture is sent as it is, and one that is too large fails alone", async () => {
    const large = new Uint8Array(17 * 2 ** 20).fill(97);
    const [one, two] = [new Uint8Array([1]), new Uint8Array([2])];
    faults = [json(batch(["a"])), raw(), refusal(413, "TooLarge"), json(batch(["d"]))];
    const { vectors, failures, space } = await client().generateImageEmbeddings([one, large, large, two]);
    assert.deepEqual([vectors.map((vector) => vector === null), space], [[false, false, true, false], SPACE]);
    assert.deepEqual(failures.map(({ index, type }) => [index, type]), [[2, "TooLarge"]]);
    assert.deepEqual(
      seen.map(({ headers }) => headers["content-type"]),
      ["application/json", "application/octet-stream", "application/octet-stream", "application/json"],
    );
  });

  test("a picture that is too large to be handed in does not keep the others out", async () => {
    const job = { jobs: [{ index: 0, job: 7, id: "i", project: "p", state: "waiting" }], errors: [] };
    faults = [json(job), refusal(413, "TooLarge"), json(job)];
    const sizes = [1, 17 * 2 ** 20, 1];
    const { jobs, failures } = await client().addItems(sizes.map((size) => ({ image: new Uint8Array(size) })));
    assert.deepEqual(jobs.map((each) => each?.job), [7, undefined, 7]);
    assert.deepEqual(failures.map(({ index, type }) => [index, type]), [[1, "TooLarge"]]);
  });

  test("a call ends when its caller has had enough, with the caller's reason", async () => {
    const controller = new AbortController();
    faults = [() => controller.abort(new Error("enough"))];
    await assert.rejects(client().generateTextEmbedding("a", { signal: controller.signal }), { message: "enough" });
    await assert.rejects(client().generateTextEmbedding("a", { signal: controller.signal }), { message: "enough" });
    assert.equal(seen.length, 1);
  });

  test("whoever has had enough is not asked to wait, whatever the reason says of itself", async () => {
    const controller = new AbortController();
    const reason = new LookalikeError("enough", { type: "Unavailable", retryable: true });
    faults = [() => controller.abort(reason)];
    await assert.rejects(client().generateTextEmbedding("a", { signal: controller.signal }), reason);
    assert.deepEqual([seen.length, pauses.length], [1, 0]);
  });

  test("a pause that begins when the caller has had enough is over", { timeout: 20_000 }, async () => {
    const controller = new AbortController();
    const jitter = (): number => (controller.abort(new Error("enough")), 1);
    faults = [html(502)];
    const patient = client({ retry: { baseMs: 60_000, capMs: 60_000, jitter }, timeoutMs: 120_000 });
    await assert.rejects(patient.generateTextEmbedding("a", { signal: controller.signal }), { message: "enough" });
  });

  for (const timeoutMs of [2 ** 31, 1e300, Infinity]) {
    test(`a call may have all the time there is: ${timeoutMs}`, async () => {
      assert.equal((await client({ timeoutMs }).generateTextEmbedding("a")).dimensions, 4);
      assert.equal((await client().generateTextEmbedding("a", { timeoutMs })).dimensions, 4);
    });
  }

  test("nobody is asked when the time is up", async () => {
    for (const timeoutMs of [0, -1]) await assert.rejects(client().generateTextEmbedding("a", { timeoutMs }), DeadlineError);
    assert.equal(seen.length, 0);
  });

  test("one signal may be of many calls at once", async () => {
    const warnings: Error[] = [];
    const note = (warning: Error): unknown => warnings.push(warning);
    process.on("warning", note);
    const { signal } = new AbortController();
    await Promise.all(Array.from({ length: 30 }, () => client().generateTextEmbedding("a", { signal })));
    await new Promise(setImmediate);
    process.off("warning", note);
    assert.deepEqual(warnings, []);
  });

  test("an answer without an end is given up, and asked for once", async () => {
    faults = [endless];
    await assert.rejects(client().generateTextEmbedding("a"), { name: "ConnectionError", message: /more than 268435456 bytes/ });
    assert.deepEqual([seen.length, seen[0]!.headers["accept-encoding"]], [1, "identity"]);
  });

  test("a time that is no number is refused", async () => {
    assert.throws(() => client({ timeoutMs: NaN }), { name: "LookalikeError", message: /timeoutMs is not a number/ });
    await assert.rejects(client().generateTextEmbedding("a", { timeoutMs: NaN }), /timeoutMs is not a number/);
    assert.equal(seen.length, 0);
  });

  test("a pause ends with the deadline too", async () => {
    faults = Array<Fault>(9).fill(html(502));
    const impatient = client({ retry: { baseMs: 150, capMs: 150, jitter: () => 1 } });
    await assert.rejects(impatient.generateTextEmbedding("a", { timeoutMs: 200 }), LookalikeError);
    assert.ok(seen.length <= 2);
  });

  test("the service learns how much time is left, up to what it takes", async () => {
    await client().generateTextEmbedding("a", { timeoutMs: 30_000 });
    await client().generateTextEmbedding("a", { timeoutMs: 3_600_000 });
    const [first, second] = seen.map(({ headers }) => Number(headers["x-request-timeout"]));
    assert.ok(first! > 25 && first! <= 30);
    assert.equal(second, 120);
  });

  test("nobody there is said, with the address", async () => {
    const nowhere = client({ baseUrl: "http://127.0.0.1:9", retry: { tries: 1 } });
    await assert.rejects(nowhere.generateTextEmbedding("a"), { name: "ConnectionError", message: /127\.0\.0\.1:9/ });
  });

  test("the key is never shown", async () => {
    faults = [refusal(401, "AccessDenied"), html(500), html(200)];
    const shown = [inspect(client(), { depth: 9, showHidden: true }), JSON.stringify(client())];
    for (let index = 0; index < 3; index++) {
      await client().generateTextEmbedding("a").catch((error: unknown) => shown.push(inspect(error, { depth: 9 })));
    }
    assert.equal(shown.length, 5);
    assert.ok(shown.every((text) => !text.includes(KEY)));
  });

  test("an address or a key that cannot be used is refused without being repeated", () => {
    const unusable = ["", "127.0.0.1:8000", "ftp://host", "http://u:pass@host", "http://host/?k=pass"];
    for (const baseUrl of [...unusable, "http://host/?", "http://host/#"]) {
      assert.throws(() => client({ baseUrl }), (error: LookalikeError) => !error.message.includes("pass"));
    }
    for (const apiKey of ["", "two words", "line\nbreak"]) {
      assert.throws(() => client({ apiKey }), { name: "LookalikeError", type: "ConfigError" });
    }
  });

  test("ids are quoted in the address of a thumbnail", () => {
    const url = new URL(client().thumbnailUrl({ id: "/a b/ü.jpg", project: "p&q" }, { sizePx: 256 }));
    assert.equal(url.pathname + url.search, "/items/%2Fa%20b%2F%C3%BC.jpg/thumbnail?project=p%26q&size=256");
  });

  for (const item of [
    { id: ".", project: "p" },
    { id: "..", project: "p" },
    { id: "\ud800", project: "p" },
    { id: "a", project: "\ud800" },
  ]) {
    test(`what no address can hold has no thumbnail: ${JSON.stringify(item)}`, () => {
      assert.throws(() => client().thumbnailUrl(item), { name: "InputError", message: /no address can hold/ });
    });
  }

  test("what read the words is handed on, wherever the service says it", async () => {
    const approximation = { source: "openai:small", note: "Near: 64%.", agreement: { rank_1: 0.64 } };
    const headers = { "X-Approximation": JSON.stringify(approximation) };
    const found = { hits: [], space: SPACE, considered: 0, warnings: [approximation.note], approximation };
    faults = [raw({ headers }), json({ ...batch(["a"]), approximation }), json(found), json({ ...found, approximation: null })];
    assert.deepEqual((await client().generateTextEmbedding("a")).approximation, approximation);
    assert.deepEqual((await client().generateTextEmbeddings(["a"])).approximation, approximation);
    assert.deepEqual((await client().searchImages({ text: "a" })).approximation, approximation);
    assert.equal((await client().searchImages({ item: "a" })).approximation, undefined);
    faults = [raw({ headers: { "X-Approximation": "{" } }), json({ ...found, approximation: "near" })];
    await assert.rejects(client().generateTextEmbedding("a"), ConnectionError);
    await assert.rejects(client().searchImages({ text: "a" }), ConnectionError);
  });

  test("a search says what is wanted", async () => {
    faults = [json({ hits: [], space: SPACE, considered: 0, warnings: [] }), json({ hits: [{}], space: SPACE })];
    await client().searchImages({ image: Buffer.from("ab") }, { limit: 3, minConfidence: 0.5, where: { colour: "red" } });
    const asked = JSON.parse(seen[0]!.body) as unknown;
    assert.deepEqual(asked, { image: "YWI=", limit: 3, min_confidence: 0.5, where: { colour: "red" } });
    await assert.rejects(client().searchImages({ text: "a" }), ConnectionError);
  });
});

function raw({ vector = VECTOR, headers = {} }: { vector?: number[]; headers?: Record<string, string | undefined> } = {}): Fault {
  const said = { "X-Count": "1", "X-Dimensions": "4", "X-Space": SPACE, "X-Model": "tiny", ...headers };
  const kept = Object.entries(said).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return (response) => void response.writeHead(200, Object.fromEntries(kept)).end(bytes(vector));
}

function batch(texts: string[]): Record<string, unknown> {
  return {
    embeddings: texts.map((text) => (text === "bad" ? null : bytes(VECTOR).toString("base64"))),
    errors: texts.flatMap((text, index) => (text === "bad" ? [{ index, type: "ImageError", message: "No." }] : [])),
    warnings: [],
    dimensions: 4,
    space: SPACE,
    model: "tiny",
  };
}

/** The answer of a service that had no room for the texts at these places. */
function crowded(count: number, full: number[]): Fault {
  const texts = Array.from({ length: count }, (_, index) => (full.includes(index) ? "bad" : "a"));
  const error = { type: "Overloaded", message: "Full.", retryable: true, retry_after_s: 0.5 };
  return json({ ...batch(texts), errors: full.map((index) => ({ index, ...error })) });
}

function bytes(vector: number[]): Buffer {
  const buffer = Buffer.alloc(vector.length * 4);
  vector.forEach((value, index) => buffer.writeFloatLE(value, index * 4));
  return buffer;
}

function json(content: unknown, status = 200): Fault {
  return (response) => void response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(content));
}

function html(status: number): Fault {
  return (response) => void response.writeHead(status, { "Content-Type": "text/html" }).end("<html>Hello</html>");
}

function refusal(status: number, type: string, headers: Record<string, string> = {}, retryable = status >= 429): Fault {
  const error = { type, message: "No.", retryable, request_id: "r-1" };
  return (response) => void response.writeHead(status, headers).end(JSON.stringify({ error }));
}

function half(response: ServerResponse): void {
  response.writeHead(200, { "Content-Length": "1000" }).write("{", () => response.destroy());
}

function drip(response: ServerResponse): void {
  response.writeHead(200, { "Content-Length": "100000" });
  const timer = setInterval(() => response.write("x"), 20);
  response.once("close", () => clearInterval(timer));
}

function endless(response: ServerResponse): void {
  const piece = Buffer.alloc(2 ** 20);
  const send = (): void => {
    while (!response.destroyed && response.write(piece));
  };
  response.writeHead(200).on("drain", send);
  send();
}

function inSeconds(seconds: number): string {
  return new Date(Date.now() + seconds * 1000).toUTCString();
}
