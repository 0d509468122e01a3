"""Methods of others on our images, backbones and metrics, in an environment of their own."""
