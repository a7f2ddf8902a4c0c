"""Intake: what is uploaded is looked at once, refused or turned into its canonical form, and described."""
