"""Fakes for the seams of docrag, for your tests as well as for docrag's own: no model, no waiting, the same each time.

`docrag.testing.qdrant_server` has a stand-in for a Qdrant server; it is not loaded with the rest, for it needs Qdrant Edge.
"""

from docrag.testing.fakes import HashEncoder, ScriptedChat, ScriptedReader

__all__ = ["HashEncoder", "ScriptedChat", "ScriptedReader"]
