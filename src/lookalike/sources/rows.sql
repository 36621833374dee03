-- rows --
SELECT {columns} FROM {table} ORDER BY 1
