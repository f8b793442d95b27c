"""The exercises of lesson 11, the full pipeline."""
