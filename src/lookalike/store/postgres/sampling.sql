-- sample_by_hash --
-- In the order of a hash of their numbers: what other projects have changes nothing in it.
WITH drawn AS MATERIALIZED (
  SELECT content, hashint8extended(content, %(seed)s::bigint) AS lot
  FROM (
    SELECT DISTINCT content FROM lookalike_items JOIN lookalike_projects USING (project)
    WHERE %(project)s::text IS NULL OR name = %(project)s::text
  ) AS used
  ORDER BY lot LIMIT %(n)s
)
SELECT sha256, vector FROM drawn JOIN lookalike_contents USING (content) JOIN lookalike_vectors USING (content)
WHERE space = %(space)s::smallint ORDER BY lot
