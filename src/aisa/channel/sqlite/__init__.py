"""The payee's store on one SQLite file, with a journal before it."""
