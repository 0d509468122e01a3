"""What a quarter of an hour on a bare GPU machine can prove; packed here, run there (docs/gpu-proof.md)."""
