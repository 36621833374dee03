-- near_all --
-- Each of these gives the nearest contents, `near`, and how many items pass the filter, `passed`; `answers` follows.
-- Contents without an item are among them, and others may be equal to the last: whether the answer is whole shows in its
-- last two columns. (With FETCH FIRST ... WITH TIES all rows would be sorted, and by one process.) No index on vectors
-- has the order of this one.
WITH near AS MATERIALIZED (
  SELECT content, least(greatest(vector <#> %(query)s::halfvec, -1), 1) AS distance
  FROM lookalike_vectors WHERE space = %(space)s::smallint
  ORDER BY distance LIMIT %(n_contents)s
), passed AS (
  SELECT sum(n_items)::bigint AS n_passed FROM lookalike_projects
)

-- near_among --
-- Vectors are looked up in the order of their numbers, which an array is sorted for: a join would do it in any order.
WITH passing AS MATERIALIZED (
  SELECT content FROM lookalike_items
  WHERE (%(project)s::integer IS NULL OR project = %(project)s::integer)
  AND (%(metadata)s::jsonb IS NULL OR metadata @> %(metadata)s::jsonb AND metadata <> '{}')
), near AS MATERIALIZED (
  SELECT content, least(greatest(vector <#> %(query)s::halfvec, -1), 1) AS distance
  FROM lookalike_vectors
  WHERE space = %(space)s::smallint AND content = ANY(ARRAY(SELECT DISTINCT content FROM passing))
  ORDER BY distance LIMIT %(n_contents)s
), passed AS (
  SELECT count(*) AS n_passed FROM passing
)

-- near_by_index --
-- The index gives contents in about their order; threshold, ties and the order of the answer are made outside of it.
WITH found AS MATERIALIZED (
  SELECT content, vector::halfvec({dim}) <#> %(query)s::halfvec({dim}) AS product
  FROM lookalike_vectors_{space} ORDER BY product LIMIT %(n_contents)s
), near AS MATERIALIZED (
  SELECT content, least(greatest(product, -1), 1) AS distance FROM found
), passed AS (
  SELECT sum(n_items)::bigint AS n_passed FROM lookalike_projects
)

-- near_by_index_in_project --
WITH found AS MATERIALIZED (
  SELECT content, vector::halfvec({dim}) <#> %(query)s::halfvec({dim}) AS product
  FROM lookalike_vectors_{space} AS vectors
  WHERE EXISTS (
    SELECT FROM lookalike_items
    WHERE lookalike_items.content = vectors.content AND lookalike_items.project = %(project)s::integer
  )
  ORDER BY product LIMIT %(n_contents)s
), near AS MATERIALIZED (
  SELECT content, least(greatest(product, -1), 1) AS distance FROM found
), passed AS (
  SELECT n_items AS n_passed FROM lookalike_projects WHERE project = %(project)s::integer
)

-- near_of_these --
WITH near AS MATERIALIZED (
  SELECT content, least(greatest(vector <#> %(query)s::halfvec, -1), 1) AS distance
  FROM lookalike_vectors WHERE space = %(space)s::smallint AND content = ANY(%(numbers)b::bigint[])
), passed AS (
  SELECT coalesce(%(n_passed)s::bigint, (SELECT sum(n_items)::bigint FROM lookalike_projects)) AS n_passed
)

-- answers --
-- Items are looked up for each of a few contents (LATERAL ... OFFSET 0): while its statistics are missing or old, the
-- database would rather read all items.
SELECT name, id, sha256, uri, caption, metadata::text, -distance,
  (SELECT n_passed FROM passed), (SELECT count(*) FROM near), (SELECT -max(distance) FROM near)
FROM near
CROSS JOIN LATERAL (
  SELECT * FROM lookalike_items WHERE lookalike_items.content = near.content
  AND (%(project)s::integer IS NULL OR project = %(project)s::integer)
  AND (%(metadata)s::jsonb IS NULL OR metadata @> %(metadata)s::jsonb AND metadata <> '{}') OFFSET 0
) AS item
CROSS JOIN LATERAL (
  SELECT sha256 FROM lookalike_contents WHERE lookalike_contents.content = near.content OFFSET 0
) AS picture
JOIN lookalike_projects USING (project)
ORDER BY distance, name, id LIMIT %(limit)s

-- set_index --
-- For this transaction only, here and below.
SELECT set_config('hnsw.ef_search', %(ef_search)s::text, true), set_config('enable_seqscan', 'off', true)

-- set_index_in_project --
-- The index is scanned on until enough of the project were met; what comes out of order is put in order outside.
SELECT set_config('hnsw.ef_search', %(ef_search)s::text, true), set_config('hnsw.iterative_scan', 'relaxed_order', true),
  set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true),
  set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
