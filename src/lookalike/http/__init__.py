"""The HTTP service: FastAPI routes over `ports.EmbeddingService` and `Index`. The only async code; it runs no model."""
