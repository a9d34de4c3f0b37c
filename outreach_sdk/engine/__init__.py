"""Use cases over ports and storage: enrol, activate, dispatch, send, sync, cancel, tasks, import."""
