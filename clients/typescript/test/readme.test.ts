import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

test("the examples of the README compile, as strictly as the package itself", () => {
  const readme = readFileSync(`${ROOT}README.md`, "utf8");
  const examples = [...readme.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code]) => code!);
  assert.equal(examples.length, 2);
  mkdirSync(`${ROOT}build/readme`, { recursive: true });
  examples.forEach((code, index) => writeFileSync(`${ROOT}build/readme/example${index}.ts`, code));
  const compilerOptions = { rootDir: ".", noEmit: true, noUnusedLocals: false };
  const settings = { extends: "../../tsconfig.json", compilerOptions, include: ["."] };
  writeFileSync(`${ROOT}build/readme/tsconfig.json`, JSON.stringify(settings));
  const tsc = spawnSync(process.execPath, [`${ROOT}node_modules/typescript/bin/tsc`, "-p", `${ROOT}build/readme`]);
  assert.equal(tsc.status, 0, String(tsc.stdout));
});
