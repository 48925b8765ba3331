"""The types of the configuration language: from a parsed element to a typed value, and back to text."""
