"""Root's privileges are for opening the device: after that the process is again the user who called sudo."""

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stack.errors import DeviceError

_UNCHANGED: Final = 0xFFFF_FFFF  # to setresuid(2) this is no id: it would leave us root


@dataclass(frozen=True, slots=True)
class User:
    """Whom to become."""

    uid: int
    gid: int
    name: str
    groups: tuple[int, ...]


def sudo_user(environment: Mapping[str, str]) -> User | None:
    """Who called sudo, if this is root by sudo and that was not root; `environment` is os.environ.

    Raises DeviceError where it does not say who that was: to stay root without a word would be worse.
    """
    if os.geteuid() != 0 or not environment.get("SUDO_UID") or not environment.get("SUDO_GID"):
        return None
    uid, gid = (_id(name, environment[name]) for name in ("SUDO_UID", "SUDO_GID"))
    if uid == 0:
        return None
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return User(uid, gid, str(uid), (gid,))
    return User(uid, gid, name, tuple(os.getgrouplist(name, gid)))


def _id(name: str, text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(_UNCHANGED)) else _UNCHANGED
    if number >= _UNCHANGED:
        raise DeviceError(
            f"{name} is {text!r}, which is nobody's number: cannot drop root's privileges to whom it names"
        )
    return number


def become(user: User) -> None:
    """Be `user` from now on, with that user's groups and nothing of root's. Raises DeviceError."""
    try:
        os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    except OSError as error:
        raise DeviceError(
            f"cannot drop root's privileges to {user.name!r}, who called sudo: {error.strerror}."
            " To stay root, take SUDO_UID out of the environment: sudo env -u SUDO_UID ..."
        ) from None
