"""The exercises of lesson 10, ControlNet."""
