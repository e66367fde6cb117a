"""The paper's claims, one a file: `measure` gives numbers, `plot` draws them, `verdict` judges."""
