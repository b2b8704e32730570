"""Answers that don't depend on an engine's whim: which of several points with equal scores are the best is settled by id.

Equal scores are no accident: a blank page, or a cover that many documents share, gives the same vectors each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from docrag.index.store import Keys, LaneQuery, ScoredPoint, StoredPoint, Where

Run = Callable[[Sequence[LaneQuery], Keys], list[list[ScoredPoint]]]
"""Asks an engine several lanes in one request; only searches in one stage come with a payload."""


def settle_ties(
    queries: Sequence[LaneQuery], keys: Keys, run: Run, fetch: Callable[[Sequence[str]], list[StoredPoint]]
) -> list[list[ScoredPoint]]:
    """Answer `queries` by `run`, each by (-score, id); what searches in two stages found gets its payload by `fetch`.

    One more point is asked for than wanted, of the first stage where there are two; where the last wanted one ties with it,
    that query is asked again for twice as many, until the tie ends inside the answer.
    """
    answers: list[list[ScoredPoint]] = [[] for _ in queries]
    open_limits = {number: (query.prefetch or query).limit + 1 for number, query in enumerate(queries)}
    while open_limits:
        found = run([_asking(queries[number], limit) for number, limit in open_limits.items()], keys)
        by_number = dict(zip(open_limits, found, strict=True))
        cuts = _scores_at_the_cut(queries, by_number, run)
        again: dict[int, int] = {}
        for number, limit in open_limits.items():
            ranked = _by_rank(cuts[number])
            wanted = (queries[number].prefetch or queries[number]).limit
            if len(ranked) == limit and ranked[wanted - 1].score == ranked[-1].score:
                again[number] = 2 * limit
            kept = {point.id for point in ranked[:wanted]}
            answers[number] = _by_rank([point for point in by_number[number] if point.id in kept])[: queries[number].limit]
        open_limits = again
    for number, query in enumerate(queries):
        if query.prefetch is not None and keys != ():
            answers[number] = _with_payload(answers[number], fetch)
    return answers


def _with_payload(answer: Sequence[ScoredPoint], fetch: Callable[[Sequence[str]], list[StoredPoint]]) -> list[ScoredPoint]:
    """The points with their payload, less those that were deleted meanwhile."""
    payloads = {point.id: point.payload for point in fetch([point.id for point in answer])}
    return [replace(point, payload=payloads[point.id]) for point in answer if point.id in payloads]


def _asking(query: LaneQuery, limit: int) -> LaneQuery:
    """`query` for `limit` points; in two stages all candidates are to come back, for the cut is among them."""
    prefetch = query.prefetch
    return replace(query, limit=limit, prefetch=None if prefetch is None else replace(prefetch, limit=limit))


def _scores_at_the_cut(
    queries: Sequence[LaneQuery], found: Mapping[int, list[ScoredPoint]], run: Run
) -> dict[int, list[ScoredPoint]]:
    """For each query the points that it found, with the scores that they were chosen by: the first stage's, where two."""
    scores = dict(found)
    checks: dict[int, LaneQuery] = {}
    for number, points in found.items():
        prefetch = queries[number].prefetch
        if prefetch is not None and len(points) > prefetch.limit:  # else nothing is cut off
            checks[number] = replace(prefetch, where=Where(ids=tuple(point.id for point in points)), limit=len(points))
    if checks:
        scores.update(zip(checks, run(list(checks.values()), ()), strict=True))
    return scores


def _by_rank(points: Sequence[ScoredPoint]) -> list[ScoredPoint]:
    return sorted(points, key=lambda point: (-point.score, point.id))
