"""What stands between the line and the network: who may connect, how many of them, and what they may use up."""
