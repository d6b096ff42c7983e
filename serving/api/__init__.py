"""The HTTP contract: routes, handlers, schemas, the OpenAPI document.

Never knows Redis.
"""
