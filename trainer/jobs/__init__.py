"""What surrounds a run on Vertex AI: job files, checks, submission, local runs, tuning studies.

Every module here serves the command of the same name in scripts/. Training never imports this
package, and nothing here imports TensorFlow.
"""
