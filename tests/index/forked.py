"""Processes of their own for tests, forked from one that has the libraries loaded: importing them takes each some seconds."""

from __future__ import annotations

import multiprocessing

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["tests.lean_pymupdf", "tests.index.oracle", "tests.index.writers"])
