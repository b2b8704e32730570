"""The parts of an ingest that run on several machines: what travels between them, and who writes what down."""
