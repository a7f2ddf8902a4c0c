"""The conformance zoo: many architectures, one road. ``python -m tests.zoo`` walks it and writes docs/zoo.md."""
