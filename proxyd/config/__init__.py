"""The configuration language: text to Settings, and back."""
