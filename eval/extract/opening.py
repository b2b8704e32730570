"""The spec strings that name the extractors, and opening what they name."""

from __future__ import annotations

from docrag.errors import UsageError
from docrag.eval.extract.extracted import Extractor
from docrag.pipelines.protocols import ReaderSettings


def open_extractor(spec: str, settings: ReaderSettings | None = None) -> Extractor:
    """The extractor that `spec` names: `rules`, or a chat model as readers have it (`openai:gpt-4o`, `hf:FOLDER_OR_ID`).

    Raises UsageError on a spec that no extractor answers to, and what `open_reader` raises.
    """
    if spec == "rules":
        from docrag.eval.extract.rules import RuleExtractor

        return RuleExtractor()
    from docrag.eval.extract.model import ModelExtractor
    from docrag.pipelines.reader import open_reader

    if ":" not in spec:
        raise UsageError(f"no extractor is called {spec!r}", "extractors are rules, or PROVIDER:MODEL as in openai:gpt-4o")
    from docrag.pipelines.model_reader import ModelReader

    reader = open_reader(spec, settings)
    if not isinstance(reader, ModelReader):
        raise UsageError(f"{spec} can't extract answers: it is no chat model", "take rules, or PROVIDER:MODEL")
    return ModelExtractor(reader.chat, reader.settings, reader.cache)
