"""A config from a table: `python -m trainer.init --csv FILES --target COLUMN`. No TensorFlow."""
