"""Load generators: processes of their own that send payments and write what they saw."""
