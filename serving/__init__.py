"""The service: answers with whichever version is staged Production, and collects what users do."""
