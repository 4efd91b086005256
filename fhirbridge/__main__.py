"""``python -m fhirbridge`` is the ``fhirbridge`` command."""

from fhirbridge.cli.main import main

if __name__ == "__main__":
    main()
