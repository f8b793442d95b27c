"""The exercises of lesson 15, transformers that draw."""
