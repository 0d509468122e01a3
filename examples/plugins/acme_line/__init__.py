"""Plug-ins of a plant for snl-edge."""
