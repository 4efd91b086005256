"""HL7 v2 result messages (ORU^R01, v2.3 to 2.5.1), from files and over MLLP, as typed parts; docs/hl7v2.md."""
