"""The exercises of lesson 16, pictures as words."""
