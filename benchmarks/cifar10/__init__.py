"""CIFAR-10: its images, in batches to train on and as data to judge on."""
