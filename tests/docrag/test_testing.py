from __future__ import annotations

import numpy as np

from docrag.index.encoders import TextEncoder
from docrag.testing import HashEncoder


def test_the_hash_encoder_is_an_encoder() -> None:
    encoder: TextEncoder = HashEncoder()
    vectors = encoder.encode(["the red fox", "a fox, red", "blue whales sing", ""])
    assert (vectors.shape, vectors.dtype) == ((4, 384), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    close, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert close > 0.5 > 0.2 > far
    assert encoder.encode([]).shape == (0, 384)


def test_it_is_the_same_each_time_and_in_any_batch() -> None:
    texts = ["one", "two three", "four"]
    together, again = HashEncoder().encode(texts), HashEncoder().encode(texts[::-1])[::-1]
    np.testing.assert_array_equal(together, again)
    np.testing.assert_array_equal(HashEncoder().encode(["two three"])[0], together[1])


def test_it_claims_minilm_and_counts_words() -> None:
    assert HashEncoder().fingerprint.lane == "passages"
    assert HashEncoder().count_tokens("one, two-three") == 3
