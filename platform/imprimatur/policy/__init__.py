"""The law: policy documents, CEL rules evaluated on intervals, and their tests."""
