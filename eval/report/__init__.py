"""The report of one or more runs: charts, tables and single questions, in one HTML file."""
