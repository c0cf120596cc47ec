"""The life of a job. Meets engines and the store as ports."""
