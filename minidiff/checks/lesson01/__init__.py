"""The exercises of lesson 01, noise schedules."""
