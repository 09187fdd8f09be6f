"""What the paper is about: quantizers, Hadamard transform, layer skipping, and the decoder that carries them."""
