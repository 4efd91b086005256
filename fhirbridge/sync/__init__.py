"""The movements between study, store and hospital: each a file named after its verb."""
