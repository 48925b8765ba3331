"""The parent's side of proxyd: what an administrator touches."""

__version__ = "0.1.0"
VERSION_TAG = "KERNUN-2_3-RELEASE"
