"""Our stack as a shared object that packetdrill loads (--so_filename)."""
