"""The internet layer: IPv4 and ICMP."""
