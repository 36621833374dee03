-- read --
SELECT mapping, identity FROM lookalike_attached WHERE name = %(name)s

-- list --
SELECT name, mapping, identity FROM lookalike_attached ORDER BY name

-- write --
INSERT INTO lookalike_attached (name, mapping, identity) VALUES (%(name)s, %(mapping)s, %(identity)s)
ON CONFLICT (name) DO UPDATE SET mapping = excluded.mapping, identity = excluded.identity, tuning = NULL

-- forget --
DELETE FROM lookalike_attached WHERE name = %(name)s RETURNING name

-- read_tuning --
SELECT tuning FROM lookalike_attached WHERE name = %(name)s

-- write_tuning --
UPDATE lookalike_attached SET tuning = %(tuning)s::jsonb WHERE name = %(name)s

-- ledger_known --
SELECT project, uri, item_id, stamp, outcome, content, reason FROM lookalike_attached_ledger
WHERE attached = %(attached)s AND project = %(project)s AND uri = ANY(%(uris)b::text[])

-- ledger_page --
SELECT project, uri, item_id, stamp, outcome, content, reason FROM lookalike_attached_ledger
WHERE attached = %(attached)s AND project = %(project)s AND uri >= %(start)s ORDER BY uri LIMIT %(limit)s

-- ledger_projects --
SELECT DISTINCT project FROM lookalike_attached_ledger WHERE attached = %(attached)s ORDER BY project

-- ledger_record --
INSERT INTO lookalike_attached_ledger (attached, project, uri, item_id, stamp, outcome, content, reason)
SELECT %(attached)s, new.* FROM unnest(
  %(projects)b::text[], %(uris)b::text[], %(item_ids)b::text[], %(stamps)b::text[], %(outcomes)b::text[],
  %(contents)b::text[], %(reasons)b::text[]
) AS new (project, uri, item_id, stamp, outcome, content, reason)
ORDER BY new.project COLLATE "C", new.uri COLLATE "C"
ON CONFLICT (attached, project, uri) DO UPDATE
SET item_id = excluded.item_id, stamp = excluded.stamp, outcome = excluded.outcome, content = excluded.content,
  reason = excluded.reason

-- ledger_forget --
DELETE FROM lookalike_attached_ledger WHERE (attached, project, uri) IN (
  SELECT attached, project, uri FROM lookalike_attached_ledger
  WHERE attached = %(attached)s AND project = %(project)s AND uri = ANY(%(uris)b::text[]) ORDER BY project, uri
  FOR UPDATE
)
