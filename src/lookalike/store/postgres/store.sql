-- lock_migration --
-- Of the transaction, not of the session: a pooler may give the session to somebody else.
SELECT pg_advisory_xact_lock(7813962)

-- set_home --
-- Until the end of the transaction: what is made comes to the tables that are there, in whatever schema those are.
SELECT set_config('search_path', concat_ws(
  ', ', quote_ident(coalesce(nullif(%(home)s::text, ''), current_schema())),
  (SELECT string_agg(quote_ident(name), ', ' ORDER BY place)
   FROM unnest(current_schemas(false)) WITH ORDINALITY AS path (name, place))
), true)

-- current_schema --
SELECT current_schema()

-- encoding --
SELECT current_setting('server_encoding')

-- make_pgvector --
CREATE EXTENSION IF NOT EXISTS vector

-- pgvector --
SELECT extversion, nspname, nspname = ANY(current_schemas(true))
FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector'

-- version --
SELECT max(version) FROM lookalike_schema

-- read_index --
SELECT space, dim, identity FROM lookalike_index JOIN lookalike_spaces USING (space)

-- insert_space --
INSERT INTO lookalike_spaces (dim, identity) VALUES (%s, %s) RETURNING space

-- make_partition --
CREATE TABLE lookalike_vectors_{space} PARTITION OF lookalike_vectors
(CONSTRAINT lookalike_vectors_{space}_dim CHECK (vector_dims(vector) = {dim})) FOR VALUES IN ({space})

-- insert_index --
INSERT INTO lookalike_index (space) VALUES (%s) ON CONFLICT DO NOTHING RETURNING space

-- n_items --
SELECT coalesce(sum(n_items), 0)::bigint FROM lookalike_projects

-- read_projects --
SELECT name, n_items FROM lookalike_projects WHERE n_items > 0 ORDER BY name

-- project_codes --
SELECT name, project FROM lookalike_projects WHERE name = ANY(%s::text[])

-- read_tuning --
SELECT centre, boundary, tuned.n_items, (SELECT coalesce(sum(n_items), 0)::bigint FROM lookalike_projects)
FROM lookalike_tuning AS tuned WHERE space = %(space)s::smallint

-- read_settings --
SELECT name, kind, ef_search, recall, p50_ms, exact_p50_ms
FROM lookalike_settings LEFT JOIN lookalike_projects USING (project) WHERE space = %(space)s::smallint

-- get --
SELECT key.place, name, items.id, sha256, uri, caption, metadata::text
FROM unnest(%(projects)b::text[], %(ids)b::text[]) WITH ORDINALITY AS key (project, id, place)
JOIN lookalike_projects ON name = key.project
JOIN lookalike_items AS items ON items.project = lookalike_projects.project AND items.id = key.id
JOIN lookalike_contents USING (content)

-- page_of_items --
SELECT name, id, sha256, uri, caption, metadata::text
FROM lookalike_items JOIN lookalike_projects USING (project) JOIN lookalike_contents USING (content)
WHERE name = %(project)s AND id >= %(start)s
AND (%(metadata)s::jsonb IS NULL OR metadata @> %(metadata)s::jsonb AND metadata <> '{}')
ORDER BY id LIMIT %(limit)s

-- vectors --
SELECT sha256, vector FROM lookalike_contents JOIN lookalike_vectors USING (content)
WHERE space = %(space)s::smallint AND sha256 = ANY(%(contents)b::bytea[])

-- range_of_contents --
SELECT min(content), max(content) FROM lookalike_contents

-- sample --
SELECT content, sha256, vector FROM lookalike_contents JOIN lookalike_vectors USING (content)
WHERE space = %(space)s::smallint AND content = ANY(%(numbers)b::bigint[])
AND EXISTS (SELECT FROM lookalike_items WHERE lookalike_items.content = lookalike_contents.content)

-- stats --
SELECT
  (SELECT count(*) FROM lookalike_contents),
  (SELECT count(DISTINCT content) FROM lookalike_items),
  (SELECT count(*) FROM lookalike_contents c WHERE octet_length(sha256) = %(n_bytes)s
   AND substr(sha256, 1, 1) = %(mark)b AND EXISTS (SELECT FROM lookalike_items WHERE content = c.content)),
  (SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
   WHERE relname LIKE 'lookalike\_%%' AND relkind = 'r'
   AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'lookalike_items'::regclass)),
  (SELECT version FROM lookalike_spaces WHERE space = %(space)s::smallint)

-- lock_writing --
-- Writers do not keep each other out; giving room back does, and is kept out by them.
LOCK TABLE lookalike_contents IN ROW EXCLUSIVE MODE

-- lock_compacting --
LOCK TABLE lookalike_contents IN SHARE ROW EXCLUSIVE MODE

-- insert_contents --
-- In one order, here and below: two who write the same rows wait for each other instead of locking each other out.
INSERT INTO lookalike_contents (sha256) SELECT new.sha256 FROM unnest(%(contents)b::bytea[]) AS new (sha256)
ORDER BY new.sha256
ON CONFLICT (sha256) DO NOTHING
RETURNING sha256, content

-- content_numbers --
SELECT sha256, content FROM lookalike_contents WHERE sha256 = ANY(%(contents)b::bytea[])

-- copy_vectors --
-- Of contents that this transaction has inserted: nobody else can have given them a vector.
COPY lookalike_vectors_{space} (space, content, vector) FROM STDIN (FORMAT BINARY)

-- make_staging --
CREATE TEMPORARY TABLE lookalike_staging (space smallint, content bigint, vector halfvec) ON COMMIT DROP

-- copy_staging --
COPY lookalike_staging (space, content, vector) FROM STDIN (FORMAT BINARY)

-- insert_vectors --
-- Of contents that were there before: they mostly have a vector, and keep it.
INSERT INTO lookalike_vectors (space, content, vector)
SELECT space, content, vector FROM lookalike_staging ORDER BY content
ON CONFLICT (space, content) DO NOTHING
RETURNING content

-- note_change --
-- Takes locks, in one order, that hold until the end of the transaction: so the numbers become visible in their order.
WITH locked AS (
  SELECT space FROM lookalike_spaces WHERE %(only)s::smallint IS NULL OR space = %(only)s::smallint
  ORDER BY space FOR NO KEY UPDATE
), next AS (
  UPDATE lookalike_spaces AS noted SET version = version + 1 FROM locked WHERE noted.space = locked.space
  RETURNING noted.space, version
), old AS (
  DELETE FROM lookalike_changes USING next
  WHERE lookalike_changes.space = next.space AND lookalike_changes.version <= next.version - 10000
)
INSERT INTO lookalike_changes (space, version, added, removed)
SELECT space, version, CASE WHEN space = %(space)s::smallint THEN %(added)b::bigint[] ELSE '{}' END, %(removed)b::bigint[]
FROM next

-- insert_projects --
-- What is there already is left out first: an insert that meets it would use up a number.
INSERT INTO lookalike_projects (name) SELECT new.name FROM unnest(%(names)b::text[]) AS new (name)
WHERE NOT EXISTS (SELECT FROM lookalike_projects AS old WHERE old.name = new.name)
ORDER BY new.name COLLATE "C"
ON CONFLICT (name) DO NOTHING

-- known_contents --
SELECT sha256, content FROM lookalike_contents JOIN lookalike_vectors USING (content)
WHERE space = %(space)s::smallint AND sha256 = ANY(%(contents)b::bytea[])

-- insert_items --
WITH written AS (
  INSERT INTO lookalike_items (project, id, content, uri, caption, metadata)
  SELECT new.project, new.id, new.content, new.uri, new.caption, new.metadata::jsonb
  FROM unnest(
    %(projects)b::integer[], %(ids)b::text[], %(contents)b::bigint[], %(uris)b::text[], %(captions)b::text[],
    %(metadata)b::text[]
  ) AS new (project, id, content, uri, caption, metadata)
  ORDER BY new.project, new.id COLLATE "C"
  ON CONFLICT (project, id) DO UPDATE
  SET content = excluded.content, uri = excluded.uri, caption = excluded.caption, metadata = excluded.metadata
  RETURNING project, xmax = 0 AS is_new -- a row that replaces another carries the number of who locked that
)
SELECT project, count(*) FROM written WHERE is_new GROUP BY project

-- delete_items --
WITH doomed AS MATERIALIZED (
  SELECT items.project, items.id
  FROM (SELECT DISTINCT * FROM unnest(%(projects)b::text[], %(ids)b::text[])) AS key (project, id)
  JOIN lookalike_projects ON name = key.project
  JOIN lookalike_items AS items ON items.project = lookalike_projects.project AND items.id = key.id
  ORDER BY items.project, items.id FOR UPDATE OF items
), gone AS (
  DELETE FROM lookalike_items AS items USING doomed
  WHERE items.project = doomed.project AND items.id = doomed.id RETURNING items.project
)
SELECT project, count(*) FROM gone GROUP BY project

-- count_projects --
WITH locked AS MATERIALIZED (
  SELECT project FROM lookalike_projects WHERE project = ANY(%(projects)b::integer[]) ORDER BY project FOR UPDATE
)
UPDATE lookalike_projects AS counted SET n_items = n_items + n
FROM unnest(%(projects)b::integer[], %(counts)b::bigint[]) AS change (project, n) JOIN locked USING (project)
WHERE counted.project = change.project

-- delete_contents --
WITH dead AS (
  DELETE FROM lookalike_contents
  WHERE NOT EXISTS (SELECT FROM lookalike_items WHERE lookalike_items.content = lookalike_contents.content)
  RETURNING content
), gone AS (
  DELETE FROM lookalike_vectors USING dead WHERE lookalike_vectors.content = dead.content
)
SELECT content FROM dead

-- check_items --
SELECT count(*) FROM lookalike_items WHERE NOT EXISTS (
  SELECT FROM lookalike_vectors
  WHERE space = %(space)s::smallint AND lookalike_vectors.content = lookalike_items.content
)

-- check_vectors --
SELECT count(*) FROM lookalike_items WHERE NOT EXISTS (
  SELECT FROM lookalike_vectors WHERE lookalike_vectors.content = lookalike_items.content
)

-- check_counts --
SELECT count(*) FROM lookalike_projects
WHERE n_items <> (SELECT count(*) FROM lookalike_items WHERE lookalike_items.project = lookalike_projects.project)

-- ledger_known --
SELECT project, uri, item_id, stamp, outcome, content, reason FROM lookalike_ledger
WHERE project = %(project)s AND uri = ANY(%(uris)b::text[])

-- ledger_page --
SELECT project, uri, item_id, stamp, outcome, content, reason FROM lookalike_ledger
WHERE project = %(project)s AND uri >= %(start)s ORDER BY uri LIMIT %(limit)s

-- ledger_projects --
SELECT DISTINCT project FROM lookalike_ledger ORDER BY project

-- ledger_record --
INSERT INTO lookalike_ledger (project, uri, item_id, stamp, outcome, content, reason)
SELECT * FROM unnest(
  %(projects)b::text[], %(uris)b::text[], %(item_ids)b::text[], %(stamps)b::text[], %(outcomes)b::text[],
  %(contents)b::text[], %(reasons)b::text[]
) AS new (project, uri, item_id, stamp, outcome, content, reason)
ORDER BY new.project COLLATE "C", new.uri COLLATE "C"
ON CONFLICT (project, uri) DO UPDATE
SET item_id = excluded.item_id, stamp = excluded.stamp, outcome = excluded.outcome, content = excluded.content,
  reason = excluded.reason

-- ledger_forget --
DELETE FROM lookalike_ledger WHERE (project, uri) IN (
  SELECT project, uri FROM lookalike_ledger
  WHERE project = %(project)s AND uri = ANY(%(uris)b::text[]) ORDER BY project, uri FOR UPDATE
)
