"""The link layer: Ethernet interfaces and ARP."""
