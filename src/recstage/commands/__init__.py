"""The `recstage` command: every step under one name, with the settings of the steps as they are."""
