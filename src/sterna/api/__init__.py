"""The cloud APIs in front of the same jobs: translation, nothing else."""
