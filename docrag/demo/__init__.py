"""`docrag demo`: a small library of docrag's own, drawn by code, with questions, and a report of what became of them."""
