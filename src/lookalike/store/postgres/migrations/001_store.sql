-- Items and vectors. No foreign keys on what is loaded in bulk: each would be looked up for each row. In their place,
-- adding holds a lock on table lookalike_contents that giving room back waits for.

CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE lookalike_schema (
    version integer PRIMARY KEY,
    applied timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE lookalike_spaces (
    space smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dim integer NOT NULL,
    identity text NOT NULL              -- as JSON; two vectors may be compared if and only if these are equal
);

CREATE TABLE lookalike_index (          -- one row: the space that is searched
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    space smallint NOT NULL REFERENCES lookalike_spaces
);

CREATE TABLE lookalike_projects (
    project integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    n_items bigint NOT NULL DEFAULT 0   -- changes with the items, in the same transaction
);

CREATE TABLE lookalike_contents (       -- each picture once, however often it appears
    sha256 bytea PRIMARY KEY CHECK (octet_length(sha256) IN (32, 33)),  -- 33: an imported vector, see contents.py
    content bigint GENERATED ALWAYS AS IDENTITY UNIQUE
);

CREATE TABLE lookalike_vectors (        -- a partition for each space: dropped with it, and indexed by itself
    space smallint NOT NULL,
    content bigint NOT NULL,
    vector halfvec NOT NULL,
    PRIMARY KEY (space, content)
) PARTITION BY LIST (space);

-- Never out of line: a search reads every one of them. So a row must fit into a page, 4,000 numbers.
ALTER TABLE lookalike_vectors ALTER COLUMN vector SET STORAGE PLAIN;

CREATE TABLE lookalike_items (
    project integer NOT NULL,
    id text COLLATE "C" NOT NULL,
    content bigint NOT NULL,
    uri text NOT NULL,
    caption text NOT NULL,
    metadata jsonb NOT NULL,
    PRIMARY KEY (project, id)
);
CREATE INDEX lookalike_items_content ON lookalike_items (content);
CREATE INDEX lookalike_items_metadata ON lookalike_items USING gin (metadata jsonb_path_ops) WHERE metadata <> '{}';

CREATE TABLE lookalike_ledger (
    project text COLLATE "C" NOT NULL,
    uri text COLLATE "C" NOT NULL,
    item_id text NOT NULL,
    stamp text NOT NULL,
    outcome text NOT NULL,
    content text NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (project, uri)
);

INSERT INTO lookalike_schema (version) VALUES (1);
