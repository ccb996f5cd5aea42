"""The mirror of a run: a verified copy of its directory in a store, from which an empty machine goes on."""
