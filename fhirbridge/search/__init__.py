"""FHIR R4 search without a database: the table of parameters, index rows, the query's grammar, and who matches."""
