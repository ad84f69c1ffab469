"""Octets to values and back, a module a protocol: no state, no input or output.

Every parser takes any octets and either returns a value or raises MalformedPacket, whose message names the layer, the
field and both numbers; payloads are views of what was parsed. What a caller may not build is a ValueError.
"""
