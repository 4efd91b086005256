"""The audit trail of access: who saw what of whose, written before it is answered, in files that tell on tampering."""
