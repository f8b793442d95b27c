"""The exercises of lesson 04, CLIP."""
