"""The exercises of lesson 12, adapters."""
