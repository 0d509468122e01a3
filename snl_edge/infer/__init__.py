"""`snl-edge infer`: a verdict for every picture of files and folders."""
