"""Problems in files as people have them: read row by row, and mapped to what the gateway takes.

Invariants:
- a file is told by its content; its name only decides where the content says nothing;
- a row's number is its place in the file, from 1: the line on which it begins in JSON Lines and
  CSV (blank lines and the header counted), the element in a JSON array, the row in Parquet;
- whatever a file holds, a reader gives its rows or names the file, the row and the cause.
"""
