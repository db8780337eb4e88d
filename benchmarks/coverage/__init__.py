"""What is covered by which test, derived from the code and the tests; writes docs/coverage.md."""
