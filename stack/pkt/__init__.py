"""Scripts in packetdrill's language, run against a Host in virtual time."""
