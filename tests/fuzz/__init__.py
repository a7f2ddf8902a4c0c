"""Good files of every accepted format, changed at random: each is accepted or refused in words, never more."""
