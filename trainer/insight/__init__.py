"""What was learned, and whether to trust it: the numbers of a run, and the page made of them.

Runs on the chief after training, from the kept weights. Training needs nothing of it.
"""
