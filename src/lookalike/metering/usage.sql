-- create --
CREATE TABLE IF NOT EXISTS usage (
  day TEXT NOT NULL,        -- ISO 8601, UTC
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  key TEXT NOT NULL,        -- the first digits of the key's sha256; never the key
  requests INTEGER NOT NULL,
  texts INTEGER NOT NULL,
  images INTEGER NOT NULL,
  tokens INTEGER NOT NULL,
  image_tokens INTEGER NOT NULL,
  cost_usd REAL NOT NULL,
  cached INTEGER NOT NULL,
  saved_usd REAL NOT NULL,
  PRIMARY KEY (day, provider, model, key)
) STRICT, WITHOUT ROWID;

-- add --
INSERT INTO usage (day, provider, model, key, requests, texts, images, tokens, image_tokens, cost_usd, cached, saved_usd)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (day, provider, model, key) DO UPDATE SET
  requests = requests + excluded.requests,
  texts = texts + excluded.texts,
  images = images + excluded.images,
  tokens = tokens + excluded.tokens,
  image_tokens = image_tokens + excluded.image_tokens,
  cost_usd = cost_usd + excluded.cost_usd,
  cached = cached + excluded.cached,
  saved_usd = saved_usd + excluded.saved_usd

-- since --
SELECT day, provider, model, key, requests, texts, images, tokens, image_tokens, cost_usd, cached, saved_usd
FROM usage WHERE day >= ? ORDER BY day DESC, provider, model, key
