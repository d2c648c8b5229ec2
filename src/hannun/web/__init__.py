from hannun.imports import models_built_when_used

with models_built_when_used():  # those of FastAPI describe the OpenAPI document, and take 50 ms
    import fastapi  # noqa: F401
