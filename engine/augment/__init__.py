"""Random changes to training batches, in the order of the job spec.

Everything is drawn from torch's own generator, which the training loop seeds for each batch: a resumed run repeats it.
"""
