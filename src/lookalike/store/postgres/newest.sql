-- newest --
-- By the numbers of their contents, which rise as pictures come; several items of one picture stand together.
SELECT content, item.project, name, item.id, sha256, uri, caption, metadata::text
FROM (
  SELECT * FROM lookalike_items
  WHERE content <= %(content)s::bigint
  AND (content < %(content)s::bigint OR (project, id) > (%(project)s::integer, %(id)s::text COLLATE "C"))
  AND (%(name)s::text IS NULL OR project = (SELECT project FROM lookalike_projects WHERE name = %(name)s::text))
  AND (%(metadata)s::jsonb IS NULL OR metadata @> %(metadata)s::jsonb AND metadata <> '{}')
  ORDER BY content DESC, project, id LIMIT %(limit)s
) AS item
JOIN lookalike_projects USING (project) JOIN lookalike_contents USING (content)
ORDER BY content DESC, item.project, item.id
