"""The wallet as one SQLite file that several processes of one payer share: `wallet.SqliteWallet`."""
