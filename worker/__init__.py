"""Jobs: the artifact store, the queue, and the process that runs the adversarial loop."""
