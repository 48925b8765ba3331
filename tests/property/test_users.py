"""Files of users, whatever stands in them: a table or one error with its line, and the table survives its way."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from proxyd.daemon.oob import pack_users
from workers.contract.channel import open_channel
from workers.contract.settings import Address, AuthSettings
from workers.directory import Directory
from workers.policy.users import User, UsersError, parse_users

SETTINGS = AuthSettings("OOB", "/nowhere", max_sessions=50, max_user_chars=20, max_groups=5)
names = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters=","), min_size=1, max_size=20)
addresses = st.ip_addresses().filter(lambda found: getattr(found, "scope_id", None) is None)
tables = st.dictionaries(
    addresses.filter(lambda found: found.version == 4 or found.ipv4_mapped is None),
    st.tuples(names.filter(lambda name: name.isprintable()), st.frozensets(names.filter(str.isprintable), max_size=5)),
    max_size=50,
)


@given(st.text() | st.text(st.sampled_from("1.:a\t,#\n\r ")))
def test_any_text_is_a_table_or_an_error_that_names_a_line_of_it(text: str) -> None:
    line, size = 1, 0
    try:
        size = len(parse_users(text, SETTINGS))
    except UsersError as error:
        line = error.line
    assert 1 <= line <= text.count("\n") + 1
    assert size <= SETTINGS.max_sessions


@given(tables)
def test_a_table_survives_the_file_and_the_channel(table: dict) -> None:
    lines = [
        f"{address}\t{user}" + (f"\t{','.join(sorted(groups))}" if groups else "")
        for address, (user, groups) in table.items()
    ]
    parsed = parse_users("\n".join(lines), SETTINGS)
    assert parsed == {
        Address(ip_address(address).version, int(ip_address(address))): User(user, groups)
        for address, (user, groups) in table.items()
    }
    parent, child = open_channel()
    directory, gathered = Directory(), None
    for part in pack_users(parsed):
        assert parent.send(part)
        message = child.receive()
        assert message is not None
        gathered = directory.take(message)  # type: ignore[arg-type]
    parent.close()
    child.close()
    assert gathered == parsed
