"""Searching and embedding in a serverless function: no model, no web framework, nothing opened before it is needed.

asgi (Vercel), aws (Lambda)  -->  service: Request --> Answer  -->  Embedder (hosted, cached), Index
"""
