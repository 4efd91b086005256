"""The command line: the composition root that puts study, mappings, validator, store and hospital together."""
