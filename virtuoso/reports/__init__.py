"""What people see: the tear sheet, charts, tables, words and colours."""
