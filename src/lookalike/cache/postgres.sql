-- is_made --
SELECT to_regclass('embedding_cache_schema') IS NOT NULL

-- version --
SELECT max(version) FROM embedding_cache_schema

-- lock_migration --
-- Of the transaction, not of the session: a pooler may give the session to somebody else.
SELECT pg_advisory_xact_lock(7813961)

-- get --
SELECT key, used < %(stale)s, vector, checksum, n_tokens, cost_usd, warning
FROM embedding_cache WHERE key = ANY(%(keys)s)

-- insert_tower --
INSERT INTO embedding_cache_towers (fingerprint, model, space, dim) VALUES (%s, %s, %s, %s)
ON CONFLICT (fingerprint) DO NOTHING

-- read_tower --
SELECT id FROM embedding_cache_towers WHERE fingerprint = %s

-- towers --
SELECT id, fingerprint, model, space, dim FROM embedding_cache_towers

-- insert --
INSERT INTO embedding_cache (key, tower, used, vector, checksum, n_tokens, cost_usd, warning)
SELECT key, %(tower)s, %(now)s, vector, checksum, n_tokens, cost_usd, warning
FROM unnest(%(keys)s::bytea[], %(vectors)s::bytea[], %(checksums)s::bigint[], %(n_tokens)s::integer[],
  %(costs)s::double precision[], %(warnings)s::text[]) AS row (key, vector, checksum, n_tokens, cost_usd, warning)
ON CONFLICT (key) DO NOTHING

-- delete --
-- Locked in one order, or two who put the same could lock each other out.
DELETE FROM embedding_cache WHERE key IN (
  SELECT key FROM embedding_cache WHERE key = ANY(%(keys)s) ORDER BY key FOR UPDATE
)

-- use --
UPDATE embedding_cache SET used = %(now)s WHERE key IN (
  SELECT key FROM embedding_cache WHERE key = ANY(%(keys)s) ORDER BY key FOR UPDATE SKIP LOCKED
)

-- count --
UPDATE embedding_cache_figures SET hits = hits + %s, misses = misses + %s, saved_usd = saved_usd + %s

-- figures --
SELECT hits, misses, saved_usd FROM embedding_cache_figures

-- n_bytes --
SELECT pg_total_relation_size('embedding_cache')

-- holdings --
SELECT fingerprint, model, space, dim, n
FROM (SELECT tower, count(*) AS n FROM embedding_cache GROUP BY tower) AS held
JOIN embedding_cache_towers ON id = tower ORDER BY n * dim DESC

-- delete_model --
DELETE FROM embedding_cache
WHERE tower IN (SELECT id FROM embedding_cache_towers WHERE model = %(model)s OR space = %(model)s)

-- delete_unused --
DELETE FROM embedding_cache WHERE used < %s

-- delete_beyond --
DELETE FROM embedding_cache WHERE key IN (
  SELECT key FROM (
    SELECT key, sum(4 * dim + %(row_bytes)s) OVER (ORDER BY used DESC, key ROWS UNBOUNDED PRECEDING) AS taken
    FROM embedding_cache JOIN embedding_cache_towers ON id = tower
  ) AS by_age WHERE taken > %(max_bytes)s
)

-- vacuum --
VACUUM embedding_cache

-- page --
SELECT key, tower, vector, checksum, n_tokens, cost_usd, warning
FROM embedding_cache WHERE key > %s ORDER BY key LIMIT %s
