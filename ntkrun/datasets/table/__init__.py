"""Tables as people have them: file, dialect, header, columns, and their numbers."""
