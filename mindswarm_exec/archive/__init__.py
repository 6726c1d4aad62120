"""The archive: what has ended, in SQL, when the ledger lets go of it."""
