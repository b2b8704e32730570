"""The version, where modules below the package's front door can have it too."""

__version__ = "0.1.0"
