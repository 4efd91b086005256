"""Pull: hospital results become candidates, candidates are judged and decided on, and what is accepted is recorded."""
