-- What has changed since when, for processes that keep the vectors in memory.

ALTER TABLE lookalike_spaces ADD COLUMN version bigint NOT NULL DEFAULT 0;  -- one more with every change below

CREATE TABLE lookalike_changes (        -- the last ten thousand
    space smallint NOT NULL REFERENCES lookalike_spaces ON DELETE CASCADE,
    version bigint NOT NULL,
    added bigint[] NOT NULL,            -- contents that got their vector
    removed bigint[] NOT NULL,          -- contents whose vector was given up
    PRIMARY KEY (space, version)
);

INSERT INTO lookalike_schema (version) VALUES (3);
