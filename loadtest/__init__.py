"""The load test: people who read and speak, as many as asked for, and honest figures of what reached them."""
