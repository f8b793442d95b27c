"""The exercises of lesson 14, the bigger family."""
