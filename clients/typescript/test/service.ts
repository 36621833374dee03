import { execFile, spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ConnectionError, LookalikeClient } from "lookalike-client";
import { picture } from "./pictures.js";

const START_MS = 60_000;
const COMMAND = fileURLToPath(new URL("../../../.venv/bin/lookalike", import.meta.url));

/** What the tests of the real service need, and a way to end it. */
export interface Service {
  url: string;
  apiKey: string | undefined;
  stop: () => Promise<void>;
}

/** The service that LOOKALIKE_URL names, or one of the checkout around this package; a sentence if there is neither. */
export async function service(): Promise<Service | string> {
  const { LOOKALIKE_URL: url, LOOKALIKE_API_KEY: apiKey } = process.env;
  if (url) return { url, apiKey, stop: async () => {} };
  if (existsSync(COMMAND)) return start();
  return `set LOOKALIKE_URL to a running service, or run "make test" in the checkout first: there is no ${COMMAND}`;
}

async function start(): Promise<Service> {
  const folder = await mkdtemp(join(tmpdir(), "lookalike-client-"));
  const index = join(folder, "index");
  const env = { ...process.env, LOOKALIKE_CACHE_DIR: join(folder, "cache"), LOOKALIKE_INDEX: index };
  await writeFile(join(folder, "red.png"), picture(200, 20, 20));
  await writeFile(join(folder, "blue.png"), picture(20, 20, 200));
  await promisify(execFile)(COMMAND, ["index", folder, "--model", "tiny"], { env });
  const port = await freePort();
  const options = ["--model", "tiny", "--index", index, "--port", String(port), "--log-level", "warning"];
  const child = spawn(COMMAND, ["serve", ...options], { env, stdio: ["ignore", "ignore", "inherit"] });
  const stop = async (): Promise<void> => {
    await end(child);
    await rm(folder, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}`;
  try {
    await untilReady(url, child);
  } catch (error) {
    await stop();
    throw error;
  }
  return { url, apiKey: undefined, stop };
}

async function untilReady(url: string, child: ChildProcess): Promise<void> {
  const client = new LookalikeClient({ baseUrl: url });
  for (const endMs = Date.now() + START_MS; Date.now() < endMs; await pause(100)) {
    if (child.exitCode !== null) throw new Error(`lookalike serve ended with ${child.exitCode}`);
    try {
      if (await client.isReady({ timeoutMs: 2000 })) return;
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error; // not listening yet
    }
  }
  throw new Error(`lookalike serve was not ready after ${START_MS} ms`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
