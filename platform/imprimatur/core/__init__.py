"""What every room stands on: errors, settings, time, digests, the database session, HTTP problems."""
