"""What a change does: deliveries it touches, rows that come out otherwise, and sqlfluff's remarks.

`make pr-report` compares the working tree with where it left the main branch. A tool of this
repository's, no part of the command.
"""
