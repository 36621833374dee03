-- create --
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,   -- never given twice
    project TEXT NOT NULL,
    item TEXT NOT NULL,
    written TEXT NOT NULL,                      -- the order, as JSON
    state TEXT NOT NULL DEFAULT 'waiting',
    attempts INTEGER NOT NULL DEFAULT 0,        -- that have ended
    reason TEXT NOT NULL DEFAULT '',
    worker INTEGER,
    ordered_s REAL NOT NULL,                    -- seconds since 1970, as the others
    changed_s REAL NOT NULL                     -- for one that waits, when it is tried
) STRICT;
CREATE INDEX jobs_of_item ON jobs (project, item, number);
CREATE INDEX jobs_in_state ON jobs (state, number);
CREATE INDEX jobs_of_project ON jobs (project, state, number);
CREATE TABLE workers (
    worker INTEGER PRIMARY KEY AUTOINCREMENT,
    beat_s REAL NOT NULL
) STRICT;

-- submit --
INSERT INTO jobs (project, item, written, ordered_s, changed_s) VALUES (?, ?, ?, ?, ?) RETURNING number

-- overtake --
-- One that is dead is overtaken by success alone, and at once: later the newer one may be off the record.
UPDATE jobs AS older SET state = 'done', reason = ?, changed_s = ?
WHERE project = ? AND item = ? AND state IN ('waiting', 'dead') AND EXISTS (
    SELECT 1 FROM jobs AS newer
    WHERE newer.project = older.project AND newer.item = older.item AND newer.number > older.number
        AND (newer.state = 'done' OR (older.state = 'waiting' AND newer.state <> 'dead'))
)
RETURNING number

-- look_up --
SELECT number, written, state, attempts, reason, ordered_s, changed_s FROM jobs WHERE number = ?

-- page --
SELECT number, written, state, attempts, reason, ordered_s, changed_s FROM jobs
WHERE state = ? AND number > ? ORDER BY number LIMIT ?

-- page_of_project --
SELECT number, written, state, attempts, reason, ordered_s, changed_s FROM jobs
WHERE project = ? AND state = ? AND number > ? ORDER BY number LIMIT ?

-- replay --
UPDATE jobs SET state = 'waiting', attempts = 0, reason = '', changed_s = ?
WHERE number = ? AND state = 'dead' RETURNING project, item

-- any_due --
SELECT 1 FROM jobs WHERE state = 'waiting' AND changed_s <= ? LIMIT 1

-- take --
UPDATE jobs SET state = 'working', worker = :worker, changed_s = :now WHERE number IN (
    SELECT number FROM jobs AS next
    WHERE state = 'waiting' AND changed_s <= :now AND NOT EXISTS (
        SELECT 1 FROM jobs AS other
        WHERE other.project = next.project AND other.item = next.item
            AND (other.state = 'working' OR (other.state = 'waiting' AND other.number < next.number))
    )
    ORDER BY number LIMIT :n
)
RETURNING number, written, attempts

-- held --
SELECT 1 FROM jobs WHERE number = ? AND state = 'working' AND worker = ?

-- settle --
UPDATE jobs SET state = ?, attempts = attempts + 1, worker = NULL, changed_s = ?,
    reason = CASE WHEN ? = '' THEN reason ELSE ? END
WHERE number = ? AND state = 'working' AND worker = ?
RETURNING project, item

-- register --
INSERT INTO workers (beat_s) VALUES (?) RETURNING worker

-- still_there --
UPDATE workers SET beat_s = ? WHERE worker = ?

-- prune --
-- Not oneself: a clock that was set, or a machine that slept, would make an only worker do its orders twice at once.
DELETE FROM workers WHERE beat_s < ? AND worker <> ?

-- lost --
SELECT number, attempts FROM jobs
WHERE state = 'working' AND NOT EXISTS (SELECT 1 FROM workers WHERE workers.worker = jobs.worker)

-- release --
UPDATE jobs SET state = ?, attempts = attempts + 1, worker = NULL, reason = ?, changed_s = ? WHERE number = ?

-- forget --
DELETE FROM jobs WHERE number IN (
    SELECT number FROM jobs WHERE state = 'done' ORDER BY number LIMIT ?
) AND changed_s < ?

-- unregister --
DELETE FROM workers WHERE worker = ?
