import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { InputError, LookalikeClient, SpaceMismatchError, StoreError } from "lookalike-client";
import { picture } from "./pictures.js";
import { service, type Service } from "./service.js";

const RED = picture(200, 20, 20);
const BLUE = picture(20, 20, 200);

describe("against the real service", async () => {
  const found = await service();
  if (typeof found === "string") {
    test("a service", { skip: found }, () => {});
    return;
  }
  const { url: baseUrl, apiKey, stop }: Service = found;
  const options = { baseUrl, timeoutMs: 30_000, ...(apiKey === undefined ? {} : { apiKey }) };
  let client: LookalikeClient;
  before(() => {
    client = new LookalikeClient(options);
  });
  after(stop);

  test("it is ready", async () => {
    assert.equal(await client.isReady(), true);
  });

  test("a picture is one unit vector, whatever holds its bytes", async () => {
    const one = await client.generateImageEmbedding(RED);
    assert.equal(one.vector.length, one.dimensions);
    assert.ok(Math.abs(cosine(one.vector, one.vector) - 1) < 1e-3);
    const exact = RED.buffer.slice(RED.byteOffset, RED.byteOffset + RED.byteLength) as ArrayBuffer;
    for (const image of [exact, new Blob([RED], { type: "text/plain" })]) {
      const same = await client.generateImageEmbedding(image);
      assert.ok(cosine(one.vector, same.vector) > 0.9999);
      assert.equal(same.space, one.space);
    }
  });

  test("a batch has the vectors of its inputs, in order, and an error for each bad one", async () => {
    const broken = RED.slice(0, 60);
    const { vectors, failures } = await client.generateImageEmbeddings([RED, broken, BLUE]);
    assert.deepEqual(failures.map(({ index, type }) => [index, type]), [[1, "ImageError"]]);
    assert.equal(vectors[1], null);
    const red = await client.generateImageEmbedding(RED);
    const blue = await client.generateImageEmbedding(BLUE);
    assert.ok(cosine(vectors[0]!, red.vector) > 0.9999);
    assert.ok(cosine(vectors[2]!, blue.vector) > 0.9999);
    assert.ok(cosine(vectors[0]!, blue.vector) < 0.99);
  });

  test("texts are in the space of pictures, alone and in batches of any size", async () => {
    const text = await client.generateTextEmbedding("a red picture");
    const texts = Array.from({ length: 70 }, (_, index) => (index === 69 ? "a red picture" : `picture ${index}`));
    const { vectors, space, failures } = await client.generateTextEmbeddings(texts);
    assert.deepEqual([vectors.length, failures.length, space], [70, 0, text.space]);
    assert.ok(cosine(vectors[69]!, text.vector) > 0.9999);
    assert.equal((await client.generateImageEmbedding(RED)).space, text.space);
  });

  test("a text that is longer than the model reads has a warning", async () => {
    const { warning } = await client.generateTextEmbedding("word ".repeat(500));
    assert.match(warning ?? "", /longer/);
  });

  test("what is no picture is an InputError that is not asked again", async () => {
    const thrown = client.generateImageEmbedding(Buffer.from("no picture"));
    await assert.rejects(thrown, (error: InputError) => error instanceof InputError && !error.retryable && !!error.requestId);
  });

  test("another space than the caller's is a SpaceMismatchError", async () => {
    const other = new LookalikeClient({ ...options, space: "other-512@000000000000" });
    await assert.rejects(other.generateTextEmbedding("a"), SpaceMismatchError);
    const longer = new LookalikeClient({ ...options, dimensions: 4096 });
    await assert.rejects(longer.generateTextEmbedding("a"), SpaceMismatchError);
  });

  test("a picture of the index is found by itself, and has a thumbnail", async (context) => {
    let result;
    try {
      result = await client.searchImages({ image: RED }, { limit: 2 });
    } catch (error) {
      if (!(error instanceof StoreError && error.type === "StoreNotFound")) throw error;
      return context.skip("the service was started without an index");
    }
    const [best] = result.hits;
    assert.ok(best !== undefined && best.similarity > 0.99);
    const thumbnail = await fetch(client.thumbnailUrl(best.item, { sizePx: 64 }), {
      headers: apiKey === undefined ? {} : { Authorization: `Bearer ${apiKey}` },
    });
    assert.equal(thumbnail.status, 200);
    assert.match(thumbnail.headers.get("content-type") ?? "", /^image\//);
    const others = await client.searchImages({ item: best.item.id }, { project: best.item.project });
    assert.ok(others.hits.every(({ item }) => item.id !== best.item.id));
    const composed = { query: [{ text: "red" }, { image: BLUE, weight: -0.5 }] };
    assert.equal((await client.searchImages(composed, { limit: 1 })).hits.length, 1);
  });

  test("a picture that is handed in is found once its job is done, and a bad one beside it has its failure", async (context) => {
    const green = picture(20, 200, 20);
    const items = [{ image: green, id: "green", project: "handed in" }, { image: Buffer.from("no picture") }];
    let added;
    try {
      added = await client.addItems(items);
    } catch (error) {
      if (!(error instanceof StoreError && error.type === "StoreNotFound")) throw error;
      return context.skip("the service was started without an index");
    }
    assert.deepEqual(added.failures.map(({ index, type }) => [index, type]), [[1, "UnsupportedMedia"]]);
    const number = added.jobs[0]!.job;
    let job = await client.job(number);
    for (const endMs = Date.now() + 30_000; job.state !== "done" && Date.now() < endMs; await pause(20)) {
      job = await client.job(number);
    }
    assert.equal(job.state, "done", job.reason);
    const { hits } = await client.searchImages({ image: green }, { project: "handed in" });
    assert.deepEqual(hits.map(({ item }) => item.id), ["green"]);
    const headers: Record<string, string> = apiKey === undefined ? {} : { Authorization: `Bearer ${apiKey}` };
    const gone = await fetch(`${baseUrl}/items/green?project=handed%20in`, { method: "DELETE", headers });
    assert.equal(gone.status, 200);
  });

  test("an item that is not there is a StoreError", async () => {
    await assert.rejects(client.searchImages({ item: "no such item" }), StoreError);
  });
});

function cosine(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, index) => sum + value * b[index]!, 0);
}
