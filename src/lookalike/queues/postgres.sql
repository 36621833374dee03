-- schema_name --
-- An attached table has a queue of its own.
SELECT quote_ident(
    CASE home WHEN 'public' THEN 'lookalike_jobs' ELSE home || '_jobs' END
    || CASE %(table)s::text WHEN '' THEN '' ELSE '_' || left(md5(%(table)s::text), 12) END
)
FROM (SELECT coalesce(nullif(%(home)s::text, ''), current_schema()) AS home) AS index

-- lock_migration --
-- Of the transaction, not of the session: a pooler may give the session to somebody else.
SELECT pg_advisory_xact_lock(7813962)

-- is_made --
-- Read from the catalogue: to_regclass may answer from before the wait for the lock, what the session remembers.
SELECT EXISTS (
    SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE quote_ident(nspname) = %(jobs)s AND relname = 'lookalike_schema'
)

-- version --
SELECT max(version) FROM {jobs}.lookalike_schema

-- make_schema --
CREATE SCHEMA IF NOT EXISTS {jobs}

-- in_schema --
-- Until the end of the transaction.
SELECT set_config('search_path', %(jobs)s, true)

-- applied --
SELECT migration FROM {jobs}.lookalike_procrastinate

-- note_applied --
INSERT INTO {jobs}.lookalike_procrastinate (migration) VALUES (%(migration)s)
ON CONFLICT (one) DO UPDATE SET migration = excluded.migration

-- bind_functions --
-- procrastinate's functions name its tables without a schema: they find them whatever the caller's search_path is.
DO $$
DECLARE
    made regprocedure;
BEGIN
    FOR made IN SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = current_schema()::regnamespace LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I', made, current_schema());
    END LOOP;
END
$$

-- submit --
SELECT unnest({jobs}.procrastinate_defer_jobs_v1(array_agg(
    ROW('lookalike', 'lookalike.index', 0, lock, NULL, args, NULL)::{jobs}.procrastinate_job_to_defer_v1 ORDER BY place
)))
FROM unnest(%(locks)s::text[], %(orders)s::jsonb[]) WITH ORDINALITY AS ordered (lock, args, place)

-- overtake --
-- Those that are being handed out are locked, and skipped. One that is dead is overtaken by success alone, and at once:
-- later the newer one may be off the record. procrastinate notes no event then, from which the time on record counts.
WITH overtaken AS (
    UPDATE {jobs}.procrastinate_jobs AS job SET status = 'succeeded', scheduled_at = NULL
    FROM (
        SELECT id, status FROM {jobs}.procrastinate_jobs AS older
        WHERE lock COLLATE "C" = ANY(%(locks)s) AND status NOT IN ('doing', 'succeeded') AND EXISTS (
            SELECT FROM {jobs}.procrastinate_jobs AS newer
            WHERE newer.lock COLLATE "C" = older.lock AND newer.id > older.id AND (
                newer.status = 'succeeded' OR (older.status = 'todo' AND newer.status IN ('todo', 'doing'))
            )
        )
        ORDER BY id FOR UPDATE SKIP LOCKED
    ) AS older
    WHERE job.id = older.id
    RETURNING job.id, older.status
), noted AS (
    INSERT INTO {jobs}.procrastinate_events (job_id, type) SELECT id, 'cancelled' FROM overtaken WHERE status <> 'todo'
)
INSERT INTO {jobs}.lookalike_reasons (job, reason) SELECT id, %(reason)s FROM overtaken
ON CONFLICT (job) DO UPDATE SET reason = excluded.reason
RETURNING job

-- jobs --
SELECT id, args, status::text, attempts, coalesce(reason, ''), extract(epoch FROM ordered)::float8,
    extract(epoch FROM coalesce(CASE status WHEN 'todo' THEN scheduled_at END, changed))::float8
FROM {jobs}.procrastinate_jobs LEFT JOIN {jobs}.lookalike_reasons ON job = id
    CROSS JOIN LATERAL (
        SELECT min(at) AS ordered, max(at) FILTER (WHERE type <> 'scheduled') AS changed
        FROM {jobs}.procrastinate_events WHERE job_id = id
    ) AS events
WHERE queue_name = 'lookalike'

-- look_up --
AND id = ANY(%(numbers)s)

-- page --
AND status = ANY(%(statuses)s::{jobs}.procrastinate_job_status[]) AND id > %(above)s
ORDER BY id LIMIT %(limit)s

-- page_of_project --
AND args ->> 'project' = %(project)s
AND status = ANY(%(statuses)s::{jobs}.procrastinate_job_status[]) AND id > %(above)s
ORDER BY id LIMIT %(limit)s

-- replay --
WITH replayed AS (
    UPDATE {jobs}.procrastinate_jobs SET status = 'todo', attempts = 0, scheduled_at = NULL, worker_id = NULL
    WHERE id = ANY(%(numbers)s) AND queue_name = 'lookalike' AND status IN ('failed', 'cancelled', 'aborted')
    RETURNING id, lock
), forgotten AS (
    DELETE FROM {jobs}.lookalike_reasons USING replayed WHERE job = id
)
SELECT id, lock FROM replayed ORDER BY id

-- register --
SELECT worker_id FROM {jobs}.procrastinate_register_worker_v1()

-- still_there --
UPDATE {jobs}.procrastinate_workers SET last_heartbeat = now() WHERE id = %(worker)s RETURNING id

-- prune --
-- Not oneself: a machine that slept would make an only worker do its orders twice at once.
DELETE FROM {jobs}.procrastinate_workers
WHERE id <> %(worker)s AND last_heartbeat < now() - %(dead_s)s * interval '1 second' RETURNING id

-- release --
-- A worker that ended is none to any job: the foreign key sets it to NULL.
WITH lost AS (
    SELECT id, attempts FROM {jobs}.procrastinate_jobs
    WHERE status = 'doing' AND worker_id IS NULL ORDER BY id FOR UPDATE SKIP LOCKED
), released AS (
    UPDATE {jobs}.procrastinate_jobs AS job SET
        status = CASE WHEN lost.attempts + 1 < %(most)s THEN 'todo' ELSE 'failed' END::{jobs}.procrastinate_job_status,
        attempts = lost.attempts + 1,
        -- At once the first time: the job is rarely to blame.
        scheduled_at = CASE WHEN lost.attempts > 0
            THEN now() + least(%(cap_s)s, %(base_s)s * 2.0 ^ least(lost.attempts - 1, 60)) * interval '1 second' END
    FROM lost WHERE job.id = lost.id
    RETURNING job.id
)
INSERT INTO {jobs}.lookalike_reasons (job, reason) SELECT id, %(reason)s FROM released
ON CONFLICT (job) DO UPDATE SET reason = excluded.reason

-- plan_take --
-- A queue fills in a second, and what the planner knows of it is a minute old: it would sort all that waits.
SELECT set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('enable_seqscan', 'off', true)

-- take --
-- As procrastinate_fetch_job does, but many at once, and in no more time where many wait. OFFSET 0 keeps the questions
-- about others of the same item from being asked for every waiting job before the first is handed out.
WITH next AS (
    SELECT id FROM {jobs}.procrastinate_jobs AS job
    WHERE status = 'todo' AND queue_name = 'lookalike' AND (scheduled_at IS NULL OR scheduled_at <= now())
        AND NOT EXISTS (
            SELECT FROM {jobs}.procrastinate_jobs AS other
            WHERE other.lock = job.lock AND other.status = 'doing' OFFSET 0
        )
        AND NOT EXISTS (
            SELECT FROM {jobs}.procrastinate_jobs AS earlier
            WHERE earlier.lock COLLATE "C" = job.lock AND earlier.id + 0 < job.id
                AND (earlier.status = 'todo') IS TRUE OFFSET 0  -- written so that the lock's index alone serves
        )
        AND EXISTS (SELECT FROM {jobs}.procrastinate_workers WHERE id = %(worker)s)
    ORDER BY priority DESC, id LIMIT %(n)s FOR UPDATE OF job SKIP LOCKED
)
UPDATE {jobs}.procrastinate_jobs SET status = 'doing', worker_id = %(worker)s
FROM next WHERE procrastinate_jobs.id = next.id
RETURNING procrastinate_jobs.id, args, attempts

-- held --
SELECT id, worker_id FROM {jobs}.procrastinate_jobs WHERE id = ANY(%(numbers)s) AND status = 'doing'

-- settle --
WITH told AS (
    SELECT * FROM unnest(%(numbers)s::bigint[], %(statuses)s::text[], %(pauses)s::float8[], %(reasons)s::text[])
        AS told (job, status, pause_s, reason)
), ended AS (
    UPDATE {jobs}.procrastinate_jobs SET
        status = told.status::{jobs}.procrastinate_job_status, attempts = attempts + 1, abort_requested = false,
        scheduled_at = CASE told.status WHEN 'todo' THEN now() + told.pause_s * interval '1 second' END
    FROM told
    WHERE id = told.job AND procrastinate_jobs.status = 'doing' AND worker_id = %(worker)s
    RETURNING id, lock, told.status, reason
), explained AS (
    INSERT INTO {jobs}.lookalike_reasons (job, reason) SELECT id, reason FROM ended WHERE reason <> ''
    ON CONFLICT (job) DO UPDATE SET reason = excluded.reason
)
SELECT lock FROM ended
WHERE status = 'todo' OR (status = 'succeeded' AND EXISTS (
    SELECT FROM {jobs}.procrastinate_jobs AS older
    WHERE older.lock COLLATE "C" = ended.lock AND older.id < ended.id AND older.status NOT IN ('todo', 'doing', 'succeeded')
))

-- unregister --
SELECT {jobs}.procrastinate_unregister_worker_v1(%(worker)s)

-- forget --
DELETE FROM {jobs}.procrastinate_jobs WHERE id IN (
    SELECT id FROM (
        SELECT id FROM {jobs}.procrastinate_jobs
        WHERE status = 'succeeded' AND queue_name = 'lookalike' ORDER BY id LIMIT %(n)s
    ) AS oldest
    WHERE NOT EXISTS (
        SELECT FROM {jobs}.procrastinate_events WHERE job_id = id AND at > now() - %(kept_s)s * interval '1 second'
    )
)

-- hello --
SELECT pg_notify('procrastinate_queue_v1#lookalike', '{"type": "job_inserted", "job_id": 0}')
