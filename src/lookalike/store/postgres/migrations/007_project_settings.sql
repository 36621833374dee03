-- What was measured for searches of one project, where it is large.

ALTER TABLE lookalike_settings ADD COLUMN project integer NOT NULL DEFAULT 0;  -- 0: all items
ALTER TABLE lookalike_settings DROP CONSTRAINT lookalike_settings_pkey;
ALTER TABLE lookalike_settings ADD PRIMARY KEY (space, project, kind);

INSERT INTO lookalike_schema (version) VALUES (7);
