"""The HTTP layer: the only user of Starlette and uvicorn."""
