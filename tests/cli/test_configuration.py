"""Every command line and file that cannot be used gets one line that says where and what."""

from pathlib import Path

import pytest

from stack.addresses import ipv4
from stack.cli.main import main
from stack.errors import ConfigurationError
from stack.io.configuration import load


def test_the_defaults() -> None:
    settings = load({}, None)
    assert settings.directory is None and settings.capture is None and not settings.verbose
    assert (settings.tap, settings.port, settings.mtu) == ("tap0", 80, 1500)
    assert str(settings.host_address) == "10.77.0.1/24" and settings.address.address == ipv4("10.77.0.2")
    assert settings.url == "http://10.77.0.2/" and settings.default_subnet


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tapstack.toml"
    file.write_text('tap = "tap7"\nport = 8080\nverbose = true\ndirectory = "."\ncapture = "x.pcapng"\n')
    settings = load({"port": "81", "tap": None, "verbose": False}, file)
    assert (settings.tap, settings.port, settings.verbose) == ("tap7", 81, True)
    assert settings.url == "http://10.77.0.2:81/"
    assert settings.directory == tmp_path, "a file's paths are relative to the file"
    assert settings.capture == tmp_path / "x.pcapng"


def test_names_and_who_knows_more_of_them(tmp_path: Path) -> None:
    file = tmp_path / "tapstack.toml"
    file.write_text('dns-servers = ["192.0.2.53", "192.0.2.54"]\nhosts = { Database = "10.77.0.9" }\n')
    settings = load({}, file)
    assert settings.dns_servers == (ipv4("192.0.2.53"), ipv4("192.0.2.54"))
    assert settings.hosts == {"database": "10.77.0.9"}
    settings = load({"dns-servers": "192.0.2.1, 192.0.2.2", "hosts": "a=10.77.0.3,b=10.77.0.4"}, file)
    assert settings.dns_servers == (ipv4("192.0.2.1"), ipv4("192.0.2.2"))
    assert settings.hosts == {"a": "10.77.0.3", "b": "10.77.0.4"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("serve --dns-servers one.one.one.one", "--dns-servers: 'one.one.one.one' is not an IPv4 address"),
        ("serve --hosts a=b", "--hosts: 'b' is not an IPv4 address"),
        ("serve --hosts a", "--hosts: a name and its address are needed, such as db=10.77.0.9, not 'a'=''"),
        ("serve --hosts =10.77.0.9", "--hosts: a name and its address are needed"),
        ("serve app:app --workers 2", "--workers: an application has one process"),
        ("serve app:1", "DIR: app:1 does not exist"),
        ("serve --interface cgi", "--interface: 'cgi' is not auto or asgi or wsgi"),
        ("serve --port 0", "--port: 0 is not a port number: 1 to 65535"),
        ("serve --port 65536", "--port: 65536 is not a port number: 1 to 65535"),
        ("serve --port http", "--port: http is not a port number: 1 to 65535"),
        (f"serve --port {'9' * 5000}", "is not a port number: 1 to 65535"),
        ("serve --port -1", "--port: -1 is not a port number: 1 to 65535"),
        ("serve --mtu 67", "--mtu: 67 is not an MTU: 68 to 65520"),
        ("serve --mtu 65521", "--mtu: 65521 is not an MTU: 68 to 65520"),
        (
            "serve --tap this-name-is-too-long",
            "--tap: TAP name 'this-name-is-too-long' has 21 octets; Linux accepts at",
        ),
        ("serve --address 10.77.0.2", "--address: '10.77.0.2' is not an address with a prefix length, such as"),
        ("serve --address 10.77.0.256/24", "--address: '10.77.0.256' is not an IPv4 address"),
        ("serve --address 10.77.0.0/24", "--address: 10.77.0.0 is the network address of 10.77.0.0/24"),
        ("serve --address 10.77.0.255/24", "--address: 10.77.0.255 is the broadcast address of 10.77.0.0/24"),
        ("serve --address 127.0.0.2/8", "--address: 127.0.0.2 is not an address that a host can have"),
        ("serve --address 10.77.0.2/32", "--address: 10.77.0.2/32 leaves no room for two hosts"),
        ("serve --address 10.77.0.1/24", "--address and --host-address are both 10.77.0.1/24"),
        ("serve --address 10.78.0.2/24", "--address 10.78.0.2/24 and --host-address 10.77.0.1/24 are in different"),
        ("serve --address 10.77.0.2/16", "are in different networks, 10.77.0.0/16 and 10.77.0.0/24"),
        ("serve /no/such/directory", "DIR: /no/such/directory does not exist"),
        ("serve /dev/null", "DIR: /dev/null is not a directory"),
        (f"serve {'a' * 300}", "cannot be reached: File name too long"),
        (f"serve {'a' * 300}:app --port 0", "--port: 0 is not a port number"),
        ("serve --config /no/such/file", "--config: cannot read /no/such/file: No such file or directory"),
        ("fetch ftp://10.77.0.1/", "URL: ftp://10.77.0.1/: ftp is not http or https"),
        ("fetch http://user@10.77.0.1/", "names no host, or a user, which is not supported"),
        ("fetch http:///", "names no host"),
        ("fetch http://10.77.0.1/a\u200bb", "URL: 'http://10.77.0.1/a\\u200bb' has white space in it; %20 is a space"),
        ("fetch --max-time nan http://10.77.0.1/", "argument --max-time: invalid number of seconds value: 'nan'"),
        ("fetch --max-time -5 http://10.77.0.1/", "argument --max-time: invalid number of seconds value: '-5'"),
        ("fetch --max-time soon http://10.77.0.1/", "argument --max-time: invalid number of seconds value: 'soon'"),
        ("fetch http://10.77.0.1:x/", "URL: http://10.77.0.1:x/: "),
        ("fetch --cacert /no/such/file https://10.77.0.1/", "--cacert: cannot read /no/such/file: No such file"),
        ("serve --prot 80", "unrecognized arguments: --prot"),
        ("serve a b", "unrecognized arguments: b"),
        ("sevre", "invalid choice: 'sevre'"),
        ("", "the following arguments are required"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("tapstack: ") and message in output.err
    assert output.err.count("\n") == 1 and output.err.endswith("\n")


@pytest.mark.parametrize("option", ["DIR", "--capture"])
def test_no_name_is_not_this_directory(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As when a variable on the command line is not set."""
    assert main(["serve", *([] if option == "DIR" else [option]), ""]) == 2
    assert capsys.readouterr().err == f"tapstack: {option}: '' is not the name of a file or directory\n"


def test_what_to_serve_on_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tapstack.toml"
    file.write_text('directory = "."')
    settings = load({"application": "app:app"}, file)
    assert (settings.directory, settings.application) == (None, "app:app")
    file.write_text('application = "app:app"')
    settings = load({"directory": str(tmp_path)}, file)
    assert (settings.directory, settings.application) == (tmp_path, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 80", "tapstack.toml: 'prot' is not an option; there are directory, tap, host-address"),
        ("port = '80'", "tapstack.toml: port must be an integer, not '80'"),
        ("port = true", "tapstack.toml: port must be an integer, not True"),
        ("port = 0", "tapstack.toml: port: 0 is not a port number: 1 to 65535"),
        ("dns-servers = '192.0.2.1'", "tapstack.toml: dns-servers must be a list of strings, not '192.0.2.1'"),
        ("hosts = { '' = '192.0.2.1' }", "tapstack.toml: hosts: a name and its address are needed"),
        ("capture = ''", "tapstack.toml: capture: '' is not the name of a file or directory"),
        ('capture = "a\\u0000b"', "tapstack.toml: capture: 'a\\x00b' is not the name of a file or directory"),
        (f"port = {'9' * 5000}", "tapstack.toml is not TOML: Exceeds the limit"),
        (f"port = {'[' * 5000}", "tapstack.toml is not TOML: "),
        ("hosts = { a = 1 }", "tapstack.toml: hosts: '1' is not an IPv4 address"),
        ("application = 'app'", "tapstack.toml: application: 'app' is not a module and a name in it, such as app:app"),
        ("application = 'a:b'\ndirectory = '.'", "directory and application: one of them is served, not both"),
        ("tap = 1", "tapstack.toml: tap must be a string, not 1"),
        ("verbose = 1", "tapstack.toml: verbose must be true or false, not 1"),
        ("[serve]\nport = 80", "tapstack.toml: 'serve' is not an option"),
        ("port 80", "tapstack.toml is not TOML: "),
        ('address = "10.77.0.0/24"', "tapstack.toml: address: 10.77.0.0 is the network address"),
    ],
)
def test_a_wrong_file_names_itself_and_the_key(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "tapstack.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load({}, file)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_help_and_version_are_answers(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["serve", "--help"], ["demo", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
    output = capsys.readouterr().out
    assert "--host-address ADDRESS/LENGTH" in output and "(default: 10.77.0.1/24)" in output
