"""An evaluation as a document: JSON, HTML and Markdown."""
