"""The web page of a running line: live picture, rejects, scores, health and the few things a technician may change."""
