-- rows_of_one --
SELECT {own}, {vector} AS vector FROM {items} AS item

-- rows_of_two --
SELECT {own}, {vector} AS vector FROM {items} AS item JOIN {vectors} AS pictured ON pictured.{key} = item.{id}

-- is_there --
WHERE {vector} IS NOT NULL AND item.{id} IS NOT NULL

-- is_there_and_as_long --
-- Of a column that takes vectors of any length.
WHERE {vector} IS NOT NULL AND item.{id} IS NOT NULL AND vector_dims({vector}) = {dim}

-- readable --
-- Of type json, which keeps what no text of the database can be: a NUL, and half a pair of UTF-16. One such row would end
-- every search that comes to it, so each of these reads as the character that stands for what cannot be read.
regexp_replace(
  {document}::text, '\\u(0000|d[89ab]..(?!\\ud[c-f]))|(?<!\\ud[89ab]..)\\ud[c-f]..', '\\ufffd', 'gi'
)::json

-- content_of_vector --
-- One byte that says how it came, and the sha256 of its numbers as the database sends them; see contents.py.
'{mark}' || encode(sha256({kind}_send(vector)), 'hex')

-- is_content_of_text --
coalesce(length(content) IN (64, 66) AND content !~ '[^0-9a-f]', false)

-- is_content_of_bytes --
coalesce(octet_length(content) IN (32, 33), false)

-- texts --
(
  SELECT json_object_agg(key, value) FILTER (WHERE value IS NOT NULL)
  FROM {kind}_each_text(CASE WHEN {kind}_typeof(document) = 'object' THEN document ELSE '{{}}' END)
)::text

-- search_exact --
-- "+ 0" keeps the database from an index on vectors, which loses most of what a filter lets through: none has this order.
-- A vector of zeros is NaN away from everything, which is more than any number.
WITH near AS MATERIALIZED (
  SELECT *, (vector <=> %(query)s::{kind}) + 0 AS distance FROM {items} AS item WHERE {where}
  ORDER BY distance, project::text COLLATE "C", id::text COLLATE "C" LIMIT %(limit)s
)
SELECT {columns}, 1 - distance, (SELECT count(*) FROM {items} AS item WHERE {where})
FROM near WHERE distance <= 2
ORDER BY distance, project::text COLLATE "C", id::text COLLATE "C"

-- set_search --
-- For this transaction only.
SELECT set_config('{method}', %(setting)s::text, true), set_config('enable_seqscan', 'off', true)

-- search_index --
-- The index gives rows in about their order; cosines, ties and the order of the answer are made outside of it.
WITH near AS MATERIALIZED (
  SELECT * FROM {items} AS item ORDER BY {order} LIMIT %(n_near)s
), scored AS MATERIALIZED (
  SELECT *, (vector <=> %(query)s::{kind}) + 0 AS distance FROM near
)
SELECT {columns}, 1 - distance, (SELECT count(*) FROM scored), (SELECT 1 - max(distance) FROM scored)
FROM scored WHERE distance <= 2
ORDER BY distance, project::text COLLATE "C", id::text COLLATE "C" LIMIT %(limit)s

-- estimate --
EXPLAIN (FORMAT JSON) SELECT FROM {items} AS item

-- count --
SELECT count(*) FROM {items} AS item

-- get --
SELECT {columns}, place
FROM unnest(%(projects)s::{project_type}[], %(ids)s::{id_type}[]) WITH ORDINALITY AS key (key_project, key_id, place)
JOIN {items} AS item ON {same_key}

-- lock --
-- The rows that have these keys, held until the end of the transaction; what has no vector is no item.
SELECT project::text, id::text
FROM unnest(%(projects)s::{project_type}[], %(ids)s::{id_type}[]) AS key (key_project, key_id)
JOIN {rows} AS item ON {same_key}
WHERE vector IS NOT NULL ORDER BY project::text COLLATE "C", id::text COLLATE "C" FOR UPDATE OF item

-- keys_of_vectors --
SELECT coalesce(project::text, ''), id::text
FROM unnest(%(projects)s::{project_type}[], %(ids)s::{id_type}[], %(vectors)s::{kind}[])
AS key (key_project, key_id, key_vector)
JOIN {items} AS item ON {same_key} WHERE vector = key_vector

-- vectors_of_keys --
SELECT {content}, vector
FROM unnest(%(projects)s::{project_type}[], %(ids)s::{id_type}[]) AS key (key_project, key_id)
JOIN {items} AS item ON {same_key}

-- vectors_of_contents --
-- Of several rows with one content always the same.
SELECT DISTINCT ON (content) {content}, vector FROM {items} AS item
WHERE content = ANY(%(contents)s::{content_type}[])
ORDER BY content, project::text COLLATE "C", id::text COLLATE "C"

-- vectors_by_looking --
SELECT {content}, vector FROM {items} AS item WHERE {content} = ANY(%(contents)s::text[])

-- walk --
SELECT {columns} FROM {items} AS item WHERE {where}
ORDER BY coalesce(project::text, '') COLLATE "C", id::text COLLATE "C"

-- page --
WITH page AS MATERIALIZED (
  SELECT * FROM {items} AS item WHERE {where}
  ORDER BY project::text COLLATE "C", id::text COLLATE "C" LIMIT %(limit)s OFFSET %(start)s
)
SELECT {columns} FROM page ORDER BY project::text COLLATE "C", id::text COLLATE "C"

-- sample --
-- In the order of a hash, in which rows of one content stand together.
WITH drawn AS MATERIALIZED (
  SELECT * FROM {items} AS item WHERE {where}
  ORDER BY hashtextextended(coalesce(content::text, concat(project::text, chr(31), id::text)), %(seed)s::bigint),
    content, project::text COLLATE "C", id::text COLLATE "C"
  LIMIT %(n_rows)s
)
SELECT {columns}, vector FROM drawn

-- stats --
SELECT coalesce(project::text, ''), count(*), count(*) FILTER (WHERE NOT {is_content}),
  count(*) FILTER (WHERE {is_content} AND {content_hex} LIKE '{unchecked}%%' AND length({content_hex}) = 66)
FROM {items} AS item GROUP BY 1 ORDER BY 1

-- n_contents --
SELECT count(DISTINCT {content_hex}) FROM {items} AS item WHERE {is_content}

-- look --
SELECT count(*), count(vector), count(*) FILTER (WHERE {norm}(vector) = 0),
  count(*) FILTER (WHERE abs({norm}(vector) - 1) > 0.001), min(vector_dims(vector)), max(vector_dims(vector)),
  count(*) FILTER (WHERE id IS NULL)
FROM {rows} AS item

-- n_distinct --
SELECT count(DISTINCT {distinct}) FROM {rows} AS item WHERE id IS NOT NULL

-- suggested_index --
CREATE INDEX CONCURRENTLY ON {table} USING hnsw ({vector} {kind}_cosine_ops)
