import { stranger } from "./errors.js";
import type { AddedItems, Job, JobState } from "./types.js";
import { entries, failureOf } from "./vectors.js";

const STATES: ReadonlySet<unknown> = new Set<JobState>(["waiting", "working", "done", "dead"]);

/** The jobs of `count` pictures that were handed in. */
export function addedOf(document: Record<string, unknown>, count: number): AddedItems {
  const jobs: (Job | null)[] = Array.from({ length: count }, () => null);
  for (const entry of entries(document["jobs"])) {
    const { index } = entry;
    if (typeof index !== "number" || !(index in jobs)) throw stranger("reports a job of a picture that it was not given");
    jobs[index] = jobOf(entry);
  }
  const failures = entries(document["errors"]).map((entry) => failureOf(entry, count));
  const failed = new Set(failures.map((failure) => failure.index));
  if (jobs.some((job, index) => (job === null) !== failed.has(index))) {
    throw stranger("leaves pictures without a job and without an error");
  }
  return { jobs, failures };
}

/** One job. */
export function jobOf(document: Record<string, unknown>): Job {
  const { job, id, project, state, attempts, reason } = document;
  if (typeof job !== "number" || typeof id !== "string" || typeof project !== "string" || !STATES.has(state)) {
    throw stranger("does not describe its jobs");
  }
  return { job, id, project, state: state as JobState, attempts: Number(attempts ?? 0), reason: String(reason ?? "") };
}
