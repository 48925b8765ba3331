"""What parent and children share."""
