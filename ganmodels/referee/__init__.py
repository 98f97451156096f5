"""The referee: watches a match, names what goes wrong, measures what was learned."""
