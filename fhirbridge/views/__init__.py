"""SQL-on-FHIR v2 (https://sql-on-fhir.org/ig/latest/): ViewDefinitions make tables of FHIR resources."""
