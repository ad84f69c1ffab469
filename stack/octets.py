"""The one name for "something that holds octets"."""

from typing import TypeAlias

Octets: TypeAlias = bytes | bytearray | memoryview
