"""The children's side of proxyd: everything that meets the network. Never imports proxyd."""
