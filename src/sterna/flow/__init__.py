"""What happens between a source and a sink. Knows core alone."""
