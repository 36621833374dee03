-- The cache of vectors, version 1. Run by lookalike itself when the cache is first used, or by hand, whole.
CREATE TABLE IF NOT EXISTS embedding_cache_schema (version integer PRIMARY KEY);

CREATE TABLE IF NOT EXISTS embedding_cache_towers (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  fingerprint text NOT NULL UNIQUE,
  model text NOT NULL,
  space text NOT NULL,
  dim integer NOT NULL
);

CREATE TABLE IF NOT EXISTS embedding_cache (
  key bytea PRIMARY KEY,
  tower integer NOT NULL REFERENCES embedding_cache_towers (id),
  used timestamptz NOT NULL,
  n_tokens integer NOT NULL,
  cost_usd double precision NOT NULL,
  checksum bigint NOT NULL,
  warning text NOT NULL,
  vector bytea NOT NULL
) WITH (fillfactor = 90);  -- room for noting use in the page where the row is

-- Random bytes: to compress them would cost time and save nothing.
ALTER TABLE embedding_cache ALTER COLUMN vector SET STORAGE EXTERNAL;

CREATE TABLE IF NOT EXISTS embedding_cache_figures (
  hits bigint NOT NULL,
  misses bigint NOT NULL,
  saved_usd double precision NOT NULL
);
INSERT INTO embedding_cache_figures SELECT 0, 0, 0 WHERE NOT EXISTS (SELECT FROM embedding_cache_figures);

INSERT INTO embedding_cache_schema VALUES (1) ON CONFLICT DO NOTHING;
