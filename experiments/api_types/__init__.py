"""Writes the types of the API, for Python and for TypeScript, from the OpenAPI document of the service."""
