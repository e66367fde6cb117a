"""A domain of coloured shapes for the tests: the third domain, one folder."""
