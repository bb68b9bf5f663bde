"""What a checkpoint is: versioned states, their hashes, and the files beside them."""
