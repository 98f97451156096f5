"""The networks, objectives and games of Ringside. Start reading at ``games/gan.py``."""
