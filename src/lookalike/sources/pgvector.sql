-- count --
SELECT count(*) FROM {table}

-- first --
SELECT {columns} FROM {table} WHERE {columns} IS NOT NULL LIMIT 1

-- rows --
SELECT {columns} FROM {table}
