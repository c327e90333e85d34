"""uvicorn with connection limits, signal handling and log formats."""
