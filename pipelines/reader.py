"""The spec strings that name the readers, and opening what they name."""

from __future__ import annotations

from docrag.errors import UsageError
from docrag.pipelines.protocols import Chat, Reader, ReaderSettings

__all__ = ["Reader", "ReaderSettings", "open_reader"]


def open_reader(spec: str, settings: ReaderSettings | None = None) -> Reader:
    """The reader that `spec` names: `quote`, `hf:FOLDER_OR_ID`, or `PROVIDER:MODEL` of any LangChain chat model.

    Raises UsageError on a spec that no reader answers to, EnvironmentFault where its package is not installed, ReaderFault or
    ModelFault where it can't be used.
    """
    settings = settings or ReaderSettings()
    if spec == "quote":
        from docrag.pipelines.quote import QuoteReader

        return QuoteReader()
    provider, colon, model = spec.partition(":")
    if not (provider and colon and model.strip()):
        known = "quote, hf:FOLDER_OR_ID, openai:MODEL, anthropic:MODEL, google_genai:MODEL, ollama:MODEL"
        raise UsageError(f"no reader is called {spec!r}", f"readers are {known}")
    from docrag.pipelines.model_reader import ModelReader
    from docrag.pipelines.reader_cache import ReaderCache

    cache = ReaderCache(settings.cache) if settings.cache else None
    return ModelReader(_open_chat(provider, model, settings), settings, cache)


def _open_chat(provider: str, model: str, settings: ReaderSettings) -> Chat:
    if provider == "hf":
        from docrag.pipelines.local_reader import open_local

        return open_local(model, settings)
    from docrag.pipelines.chat_reader import open_chat

    return open_chat(provider, model, settings)
