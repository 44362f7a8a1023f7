"""The models the service answers from: downloaded, verified, loaded and replaced as the registry says."""
