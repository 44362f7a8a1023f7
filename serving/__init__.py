"""The service: recommends with whichever version is staged Production, and collects what users do."""
