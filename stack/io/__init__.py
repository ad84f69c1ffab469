"""Where a host meets Linux: TAP devices, the kernel's side of them, signals, the machine's clock."""
