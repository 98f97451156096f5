"""HTTP: routes, the guard before them, the inference engine and the command line."""
