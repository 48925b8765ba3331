"""The rows of the keyword table, by the section they stand in; proxyd.config.keywords puts them together."""
