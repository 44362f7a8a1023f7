"""The steps from one schema to the next, run by `serving.store.admin.migrate`."""
