"""What stored values may be: mappings checked field by field."""
