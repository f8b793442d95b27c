"""The exercises of lesson 17, things from words."""
