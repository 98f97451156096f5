"""The command line: starts the parts of Ringside, and talks to it over HTTP."""
