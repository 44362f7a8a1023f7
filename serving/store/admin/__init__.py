"""Schema migrations, backups and retention."""
