"""The server that design documents suggest: FastAPI around transformers, loaded at start.

python benchmarks/plain_server.py MODEL PORT
"""

from __future__ import annotations

import base64
import io
import sys

import torch
import uvicorn
from fastapi import FastAPI
from PIL import Image
from pydantic import BaseModel
from transformers import CLIPModel, CLIPProcessor


class ImageRequest(BaseModel):
    """A picture in base64."""

    image: str


class TextRequest(BaseModel):
    """A text."""

    text: str


def create_app(folder: str) -> FastAPI:
    """The application."""
    model = CLIPModel.from_pretrained(folder).eval()
    processor = CLIPProcessor.from_pretrained(folder)
    app = FastAPI()

    def answer(features: object) -> dict[str, object]:
        vector = getattr(features, "pooler_output", features)  # transformers 5 wraps it
        vector = torch.nn.functional.normalize(vector, dim=-1)[0]
        return {"embedding": vector.tolist(), "dimensions": vector.shape[0]}

    # Plain functions run in FastAPI's pool of threads.
    @app.post("/embed/image")
    def embed_image(request: ImageRequest) -> dict[str, object]:
        image = Image.open(io.BytesIO(base64.b64decode(request.image))).convert("RGB")
        with torch.inference_mode():
            return answer(model.get_image_features(**processor(images=image, return_tensors="pt")))

    @app.post("/embed/text")
    def embed_text(request: TextRequest) -> dict[str, object]:
        with torch.inference_mode():
            inputs = processor(text=[request.text], return_tensors="pt", padding=True, truncation=True)
            return answer(model.get_text_features(**inputs))

    @app.get("/readyz")
    def ready() -> dict[str, str]:
        return {"status": "ok"}

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(sys.argv[1]), port=int(sys.argv[2]), log_level="warning")
