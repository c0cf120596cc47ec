"""The vocabulary: values and promises that every other room speaks in. Imports the standard library alone."""
