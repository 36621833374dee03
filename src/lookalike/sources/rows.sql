-- rows --
SELECT {columns}, count(*) OVER (PARTITION BY {key}) > 1 FROM {table} ORDER BY 1
