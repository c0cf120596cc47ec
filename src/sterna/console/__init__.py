"""Server-rendered pages that call the same service functions as the API."""
