"""The three-stage protocol's second stage: a free-form response -> a short answer, by rules or by a model."""
