"""Results on disk: Parquet tables, the ledger, heartbeats, locks, file systems."""
