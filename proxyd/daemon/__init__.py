"""The parent: binding, forking, watching, ending."""
