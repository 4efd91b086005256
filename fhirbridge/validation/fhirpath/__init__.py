"""FHIRPath (http://hl7.org/fhirpath/N1) for R4: parsed once, compiled to Python closures, run on typed nodes."""
