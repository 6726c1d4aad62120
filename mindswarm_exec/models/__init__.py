"""Records of the wire: what is asked (`options`) and what is told (`records`)."""
