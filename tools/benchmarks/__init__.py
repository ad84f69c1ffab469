"""tools/bench: what the stack does in a second, beside the Linux kernel on the same machine at the same time."""
