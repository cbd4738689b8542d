"""What a reader sees: records, tables, figures."""
