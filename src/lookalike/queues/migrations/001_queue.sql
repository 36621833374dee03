-- What lookalike adds to the tables of procrastinate, in the same schema.

CREATE TABLE lookalike_schema (
    version integer PRIMARY KEY,
    applied timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE lookalike_procrastinate (  -- one row: the last of procrastinate's own migrations that was run
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    migration text COLLATE "C" NOT NULL
);

CREATE TABLE lookalike_reasons (        -- why the last attempt of a job failed
    job bigint PRIMARY KEY REFERENCES procrastinate_jobs ON DELETE CASCADE,
    reason text NOT NULL
);

-- The orders of one item are done one after another, and have the same lock. With a collation of its own, so that no
-- index that begins with something else is ever taken for a question about a lock.
CREATE INDEX lookalike_jobs_lock ON procrastinate_jobs (lock COLLATE "C", id);
CREATE INDEX lookalike_jobs_status ON procrastinate_jobs (status, id);
CREATE INDEX lookalike_jobs_project ON procrastinate_jobs ((args ->> 'project'), status, id);

INSERT INTO lookalike_schema (version) VALUES (1);
