"""Root's privileges are for opening the device: after that the process is again the user who called sudo."""

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass

from stack.errors import DeviceError


@dataclass(frozen=True, slots=True)
class User:
    """Whom to become."""

    uid: int
    gid: int
    name: str
    groups: tuple[int, ...]


def sudo_user(environment: Mapping[str, str]) -> User | None:
    """Who called sudo, if this is root by sudo and that was not root; `environment` is os.environ."""
    uid, gid = environment.get("SUDO_UID", ""), environment.get("SUDO_GID", "")
    if os.geteuid() != 0 or not uid.isdigit() or not gid.isdigit() or int(uid) == 0:
        return None
    try:
        name = pwd.getpwuid(int(uid)).pw_name
    except KeyError:
        return User(int(uid), int(gid), uid, (int(gid),))
    return User(int(uid), int(gid), name, tuple(os.getgrouplist(name, int(gid))))


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
