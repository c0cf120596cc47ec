"""One folder for each kind of database. No engine knows another."""
