-- Several spaces side by side, of which lookalike_index names the one that is searched.

ALTER TABLE lookalike_spaces ADD COLUMN precision text NOT NULL DEFAULT '';  -- of the model; empty: not noted

-- Every item had a vector in this space when space `whole_of` was searched and had version `whole_at`, and has one as
-- long as it has that version; null if this is not known. In a first space every item has one, since none is added
-- without.
ALTER TABLE lookalike_spaces ADD COLUMN whole_of smallint, ADD COLUMN whole_at bigint DEFAULT 0;

INSERT INTO lookalike_schema (version) VALUES (5);
