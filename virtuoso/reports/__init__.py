"""What people see: pages, charts, tables, words and colours."""
