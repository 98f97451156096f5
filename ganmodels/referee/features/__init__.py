"""Feature spaces in which items are compared: one file each, and ``loading`` to get one."""
