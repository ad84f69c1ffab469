"""Applications on the stack; they use only what the layers below make public."""
