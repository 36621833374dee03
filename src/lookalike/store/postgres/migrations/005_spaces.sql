-- Several spaces side by side, of which lookalike_index names the one that is searched.

ALTER TABLE lookalike_spaces ADD COLUMN precision text NOT NULL DEFAULT '';  -- of the model; empty: not noted

INSERT INTO lookalike_schema (version) VALUES (5);
