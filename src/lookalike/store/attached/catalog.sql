-- relation --
-- Names are taken as they are: one with a dot may be a table of that name, or of a schema.
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.oid = coalesce(
  to_regclass(quote_ident(%(name)s::text)),
  to_regclass(quote_ident(nullif(%(schema)s::text, '')) || '.' || quote_ident(%(table)s::text))
)

-- columns --
SELECT a.attname, coalesce(base.typname, t.typname), format_type(a.atttypid, NULL), a.atttypmod, NOT a.attnotnull,
  a.atthasdef OR a.attidentity <> '', a.attgenerated <> '' OR a.attidentity = 'a'
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type base ON base.oid = t.typbasetype
WHERE a.attrelid = %(oid)s::oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum

-- keys --
SELECT array(
  SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS part (attnum, place)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = part.attnum
  WHERE part.place <= i.indnkeyatts ORDER BY part.place
)
FROM pg_index i
WHERE i.indrelid = %(oid)s::oid AND i.indisunique AND i.indisvalid AND i.indimmediate
AND i.indpred IS NULL AND i.indexprs IS NULL

-- starts_index --
SELECT EXISTS (
  SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
  WHERE i.indrelid = %(oid)s::oid AND i.indisvalid AND i.indpred IS NULL AND a.attname = %(column)s::text
)

-- vector_indexes --
-- An index on the column, or on its values in another precision, as pgvector's documentation makes it; HNSW first.
SELECT i.indexrelid::regclass::text, am.amname, opc.opcname,
  CASE pg_get_indexdef(i.indexrelid, 1, true)
    WHEN quote_ident(%(column)s::text) THEN ''
    WHEN format('(%%I::halfvec(%%s))', %(column)s::text, %(dim)s::integer) THEN 'halfvec'
    WHEN format('(%%I::vector(%%s))', %(column)s::text, %(dim)s::integer) THEN 'vector'
  END
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_am am ON am.oid = c.relam
JOIN pg_opclass opc ON opc.oid = i.indclass[0]
WHERE i.indrelid = %(oid)s::oid AND am.amname IN ('hnsw', 'ivfflat')
AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 1
ORDER BY am.amname, opc.opcname, 1

-- bytes --
SELECT coalesce(sum(
  pg_total_relation_size(oid) + coalesce(
    (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(oid) WHERE relid <> oid), 0
  )
), 0)::bigint
FROM unnest(%(oids)s::bigint[]) AS relation (number), LATERAL (SELECT number::oid AS oid) AS as_oid
