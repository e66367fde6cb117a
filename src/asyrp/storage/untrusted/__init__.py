"""Untrusted files: weights, configs, pictures, databases.

Nothing else in this package opens one (tests/test_untrusted.py looks), and all that is read here
is measured first, against the table in `bounds`. What a file asks for beyond it is refused.
"""
