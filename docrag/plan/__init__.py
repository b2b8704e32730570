"""`docrag plan`: what a library of so many pages takes."""
