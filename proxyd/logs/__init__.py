"""Where log records go: syslog, files, standard error."""
