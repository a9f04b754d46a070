"""Data series: Braze documents are parsed into snapshots, windows and revisions."""
