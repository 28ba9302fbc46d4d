"""Training: ``dataset + model config + train config -> fit -> run folder``, on one device or under ``torchrun``."""
