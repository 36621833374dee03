-- version --
SELECT version FROM lookalike_spaces WHERE space = %(space)s::smallint

-- changes --
SELECT version, added, removed FROM lookalike_changes
WHERE space = %(space)s::smallint AND version > %(after)s ORDER BY version

-- count --
SELECT count(*) FROM lookalike_vectors WHERE space = %(space)s::smallint

-- all_vectors --
SELECT content, vector FROM lookalike_vectors_{space}

-- these_vectors --
SELECT content, vector FROM lookalike_vectors
WHERE space = %(space)s::smallint AND content = ANY(%(numbers)b::bigint[])

-- passing --
-- The numbers in one value: as rows, they would take longer to read than to search.
SELECT coalesce(sum(n), 0)::bigint, coalesce(string_agg(int8send(content), ''), '') FROM (
  SELECT content, count(*) AS n FROM lookalike_items
  WHERE (%(project)s::integer IS NULL OR project = %(project)s::integer)
  AND (%(metadata)s::jsonb IS NULL OR metadata @> %(metadata)s::jsonb AND metadata <> '{}')
  GROUP BY content
) AS passed
