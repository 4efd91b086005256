"""Codes and value sets that engine and mappings share; ``profiles/`` publishes the local ones as CodeSystems."""
