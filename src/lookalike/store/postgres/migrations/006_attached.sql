-- Tables of others that are searched and written where they are.

CREATE TABLE lookalike_attached (
    name text COLLATE "C" PRIMARY KEY,  -- what an address has after its "#"
    mapping text NOT NULL,              -- as JSON: which table, and what its columns are for
    identity text NOT NULL,             -- as JSON: the space of its vectors
    tuning jsonb                        -- what was measured of its index on vectors; null if nothing was
);

CREATE TABLE lookalike_attached_ledger (  -- as lookalike_ledger, for each of them
    attached text COLLATE "C" NOT NULL REFERENCES lookalike_attached ON DELETE CASCADE,
    project text COLLATE "C" NOT NULL,
    uri text COLLATE "C" NOT NULL,
    item_id text NOT NULL,
    stamp text NOT NULL,
    outcome text NOT NULL,
    content text NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (attached, project, uri)
);

INSERT INTO lookalike_schema (version) VALUES (6);
