"""The OpenAPI document: schemas, examples and operations, derived from the domain's types and constants.

Must never answer a request.
"""
