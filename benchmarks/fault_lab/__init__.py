"""What breaks a running Ringside by real means, and what checks that nothing was lost."""
