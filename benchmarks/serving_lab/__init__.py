"""What the serving benchmark is made of: models, servers, loads, and tables of what they gave."""
