"""The HTTP surface: query and body schemas, dependencies, the OpenAPI document and the routes."""
