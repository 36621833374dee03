-- index_state --
-- By its table: another index may be on the search path, and have one of this name.
SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE indrelid = 'lookalike_vectors_{space}'::regclass AND relname = 'lookalike_vectors_{space}_hnsw'

-- drop_index --
DROP INDEX IF EXISTS lookalike_vectors_{space}_hnsw

-- set_building --
-- For this transaction only.
SELECT set_config('maintenance_work_mem', %(kilobytes)s || 'kB', true), set_config('statement_timeout', '0', true)

-- make_index --
-- With pgvector's own 16 and 64 some parts of a collection are hardly linked to the rest, others with each build: of
-- three builds of one collection each lost more than one in a hundred of the best for pictures or for words. With 19 links
-- or more a page holds five of these rows at 512 numbers instead of six, and the index takes a fifth more.
CREATE INDEX {concurrently} lookalike_vectors_{space}_hnsw ON lookalike_vectors_{space}
USING hnsw ((vector::halfvec({dim})) halfvec_ip_ops) WITH (m = 18, ef_construction = 128)

-- progress --
SELECT phase, tuples_done, tuples_total FROM pg_stat_progress_create_index
WHERE relid = 'lookalike_vectors_{space}'::regclass

-- analyze --
ANALYZE lookalike_projects, lookalike_contents, lookalike_vectors, lookalike_items

-- delete_tuning --
DELETE FROM lookalike_tuning WHERE space = %(space)s::smallint

-- insert_tuning --
INSERT INTO lookalike_tuning (space, n_items, centre, boundary)
VALUES (
  %(space)s::smallint, (SELECT coalesce(sum(n_items), 0) FROM lookalike_projects), %(centre)s::halfvec, %(boundary)s
)

-- insert_setting --
INSERT INTO lookalike_settings (space, project, kind, ef_search, recall, p50_ms, exact_p50_ms)
VALUES (
  %(space)s::smallint, coalesce((SELECT project FROM lookalike_projects WHERE name = %(project)s), 0), %(kind)s,
  %(ef_search)s, %(recall)s, %(p50_ms)s, %(exact_p50_ms)s
)

-- large_projects --
SELECT name FROM lookalike_projects
WHERE n_items >= %(least)s AND n_items >= %(share)s * (SELECT sum(n_items) FROM lookalike_projects)
ORDER BY n_items DESC, name

-- facts --
SELECT
  current_setting('server_version'),
  (SELECT extversion FROM pg_extension WHERE extname = 'vector'),
  current_setting('server_encoding'),
  current_setting('maintenance_work_mem'),
  current_setting('shared_buffers'),
  current_setting('statement_timeout'),
  pg_backend_pid()

-- relations --
SELECT relname, CASE relkind WHEN 'i' THEN 'index' ELSE 'table' END, greatest(reltuples, 0)::bigint,
  pg_relation_size(oid)::bigint
FROM pg_class
WHERE relname LIKE 'lookalike\_%' AND relkind IN ('r', 'i')
AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'lookalike_items'::regclass)
ORDER BY 2 DESC, 1

-- half_made --
SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE NOT indisvalid AND relkind = 'i' AND relname LIKE 'lookalike\_%'
AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'lookalike_items'::regclass)
ORDER BY 1
