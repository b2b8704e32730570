"""What `quote` takes answers from: the words, rows and sentences of a page, and the candidates found in them."""
