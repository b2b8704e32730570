"""`docrag doctor`: what is wrong with this machine or an index."""
