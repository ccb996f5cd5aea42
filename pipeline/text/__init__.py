"""Values as people read and write them: names, numbers, tables."""
