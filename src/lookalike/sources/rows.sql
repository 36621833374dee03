-- rows --
SELECT {columns}, count(*) OVER (PARTITION BY {key}) > 1 FROM {table} ORDER BY 1

-- has --
SELECT 1 FROM {table} WHERE {key} = %(id)s AND {uri}::text <> '' LIMIT 1

-- has_in_project --
-- A row without a project belongs to that of whoever indexes the table.
SELECT 1 FROM {table} WHERE {key} = %(id)s AND {uri}::text <> ''
AND (coalesce({project}::text, '') IN ('', %(project)s)) LIMIT 1
