"""The tear sheet of a run: its words and cells, the HTML page, the PDF."""
