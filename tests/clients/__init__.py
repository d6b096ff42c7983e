"""`make clients`: the document linted, and clients generated from it compiled and run against a service."""
