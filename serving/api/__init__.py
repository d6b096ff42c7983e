"""The HTTP contract: routes, schemas, the OpenAPI document.

Never knows Redis.
"""
