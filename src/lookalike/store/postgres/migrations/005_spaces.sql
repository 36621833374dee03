-- Several spaces side by side, of which lookalike_index names the one that is searched.

ALTER TABLE lookalike_spaces ADD COLUMN precision text NOT NULL DEFAULT '';  -- of the model; empty: not noted

-- Every item had a vector in this space when space `whole_of` had version `whole_at`; so it has as long as that has.
ALTER TABLE lookalike_spaces ADD COLUMN whole_of smallint, ADD COLUMN whole_at bigint;

INSERT INTO lookalike_schema (version) VALUES (5);
