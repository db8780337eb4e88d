"""Every kind of layer and model times every form of file: the table of docs/coverage.md, by ``make kinds``."""
