"""Train wide-and-deep models on tables, locally and on Vertex AI, with TensorFlow and Keras 3."""

__version__ = "0.1.0"
