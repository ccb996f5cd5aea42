"""The report: one run, or several side by side, as a self-contained HTML page."""
