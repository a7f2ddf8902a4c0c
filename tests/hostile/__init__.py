"""A corpus of uploads that are meant to harm, each built by code, and what each must be refused with."""
