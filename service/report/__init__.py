"""The report of a job: one HTML file that holds all a reviewer asks for, and loads nothing."""
