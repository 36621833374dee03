-- How each kind of query is best searched for, as measured on this data.

CREATE TABLE lookalike_tuning (
    space smallint PRIMARY KEY REFERENCES lookalike_spaces ON DELETE CASCADE,
    n_items bigint NOT NULL,            -- when it was measured
    measured timestamptz NOT NULL DEFAULT now(),
    centre halfvec NOT NULL,            -- the mean of a sample, of unit length
    boundary real NOT NULL              -- cosine to the centre from which a query counts as "near"
);

CREATE TABLE lookalike_settings (
    space smallint NOT NULL REFERENCES lookalike_tuning ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('near', 'far')),
    ef_search integer NOT NULL,         -- 0: no setting of the index was good enough
    recall real NOT NULL,               -- share of the true ten best that the index found with it
    p50_ms real NOT NULL,
    exact_p50_ms real NOT NULL,         -- of looking at every vector
    PRIMARY KEY (space, kind)
);

INSERT INTO lookalike_schema (version) VALUES (2);
