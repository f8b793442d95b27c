"""The exercises of lesson 13, one process in four languages."""
