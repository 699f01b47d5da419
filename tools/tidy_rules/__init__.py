"""The house rules as functions: each takes a Tree and yields (path, line, what is wrong)."""
