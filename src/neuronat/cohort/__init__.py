"""Many scans: found, shared out among processes, kept apart from each other's faults, and collected in tables.

An **entry** is one scan of a cohort with the folder of its results; a **manifest** is the list of them. A
**seat** is a place for one scan at a time; in it works a **worker**, a process of its own. A **row** is what
became of an entry.
"""

__all__: list[str] = []
