"""The requirements of the generic proxy, in few words, with the tests whose names do not tell that they show them."""

from __future__ import annotations

from typing import NamedTuple


class Requirement(NamedTuple):
    """One requirement: what it says, and tests as `path below tests::name`."""

    text: str
    tests: tuple[str, ...] = ()


_ARGUMENTS = "proxyd/cli/test_arguments.py::"
_TEST_UDP = "proxyd/cli/test_test_udp.py::"
_COMMANDS = "system/test_commands.py::"
_DNS = "system/test_dns.py::"
_SYSLOG = "system/test_syslog.py::"
_DEATHS = "system/test_deaths.py::"
_PROCESSES = "system/test_processes.py::"
_QUEUES = "system/test_queues.py::"
_USERS = "system/test_users.py::"
_NAMES = "system/test_names.py::"
_LOGS = "system/test_logs.py::"
_SOURCECHECKS = "proxyd/config/test_sourcechecks.py::"
_ACLCHECKS = "proxyd/config/test_aclchecks.py::"
_MODEL = "property/test_engine.py::test_the_engine_does_what_the_requirements_say"

_ROWS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    # Programs and command line.
    ("1", "there are `udp-proxy` and `test-udp`, with their options", (f"{_ARGUMENTS}test_all_options_are_taken",)),
    ("2", "`-h` prints the usage and ends with 0", (f"{_COMMANDS}test_help_is_printed_to_standard_output",)),
    (
        "3",
        "`-v` prints the version with the tag for configurations",
        (f"{_COMMANDS}test_the_version_has_the_tag_for_configurations",),
    ),
    (
        "4",
        "`-d` takes 3 to 9 and nothing else",
        (f"{_ARGUMENTS}test_levels_from_3_to_9_are_taken", f"{_ARGUMENTS}test_other_levels_are_refused"),
    ),
    (
        "5",
        "the level of `-d` ends with the reading of the configuration",
        (f"{_COMMANDS}test_the_level_of_the_command_line_ends_with_the_reading",),
    ),
    (
        "6",
        "`-f` is mandatory for the working modes",
        (
            f"{_ARGUMENTS}test_what_is_no_command_line_ends_with_the_usage_line",
            f"{_COMMANDS}test_what_is_no_command_line_is_refused_with_the_usage",
        ),
    ),
    (
        "7",
        "`test-udp` checks syntax and meaning, and opens no socket",
        (f"{_TEST_UDP}test_all_errors_go_to_standard_error", f"{_TEST_UDP}test_no_socket_is_opened_without_r"),
    ),
    ("8", "names are resolved with `-r` only", (f"{_TEST_UDP}test_names_are_resolved_only_when_asked_for",)),
    (
        "9",
        "`-t` evaluates a test expression",
        (
            f"{_TEST_UDP}test_the_documented_expression_is_answered",
            f"{_COMMANDS}test_a_test_expression_ends_with_its_result",
        ),
    ),
    (
        "10",
        "`test-udp` ends with 0, 1, 2 or 64",
        (
            f"{_TEST_UDP}test_one_rejected_test_of_several_is_told_by_the_status",
            f"{_TEST_UDP}test_a_wrong_expression_is_an_error",
            f"{_TEST_UDP}test_a_wrong_command_line_is_told_apart",
        ),
    ),
    (
        "11",
        "`udp-proxy` with an invalid configuration tells the errors, opens nothing and ends with 1",
        (f"{_COMMANDS}test_every_error_of_a_configuration_is_told_and_nothing_opened",),
    ),
    # Purpose and model.
    (
        "12",
        "protocols with servers on a fixed port and clients on any are forwarded",
        (f"{_DNS}test_dig_gets_its_answer_and_the_session_ends_right_after_it",),
    ),
    (
        "13",
        "the server is the configuration's, or the one the client wrote to",
        (f"{_DNS}test_dig_gets_its_answer_and_the_session_ends_right_after_it",),
    ),
    (
        "14",
        "datagrams are received on the sockets of `listen-on`",
        (
            "proxyd/config/test_listeners.py::test_items_are_spread_out_into_sockets",
            "system/test_daemon.py::test_a_daemon_on_both_versions_and_many_ports_is_one_daemon",
        ),
    ),
    ("15", "sessions are what one client and its server say to each other", (_MODEL,)),
    (
        "16",
        "a session ends by its limits, not by what is said in it",
        ("system/test_expiry.py::test_each_time_limit_ends_its_session_and_says_which_it_was",),
    ),
    # Look-up and establishment.
    ("17", "a datagram belongs to its session first", (_MODEL,)),
    ("18", "the rules are not asked again while a session lasts", ()),
    ("19", "without a session and without a rule a datagram is dropped", ()),
    ("20", "a rule that accepts opens a session with its target and socket", ()),
    ("21", "`session-acl` is the only phase, at the session's beginning", ()),
    ("22", "the default is rejection", ()),
    ("23", "client, its port, and where it wrote make the session", ()),
    ("24", "answers find their session by socket and sender", ()),
    (
        "25",
        "only a client opens a session",
        (
            "system/test_expiry.py::test_a_late_answer_is_lost_and_the_next_question_begins_a_new_session",
            _MODEL,
        ),
    ),
    (
        "26",
        "one datagram in is one out, unchanged and in order",
        ("workers/test_outbound.py::test_a_burst_of_one_client_arrives_whole_and_in_order",),
    ),
    ("27", "the first datagram is forwarded and counts", ()),
    # Kinds of session.
    ("28", "one-way: only datagrams to the server pass", ()),
    (
        "29",
        "one-way: an answer ends the session and is not passed",
        (f"{_SYSLOG}test_an_answer_ends_the_session_and_never_reaches_the_client",),
    ),
    (
        "30",
        "one-way: strangers end nothing",
        (f"{_SYSLOG}test_other_hosts_and_ports_are_told_from_the_servers",),
    ),
    ("31", "normal: datagrams go to one server", ()),
    ("32", "normal: answers come from exactly that server", (_MODEL,)),
    (
        "33",
        "normal: the client is answered from where it wrote to",
        ("workers/test_waiting.py::test_an_answer_goes_from_the_address_that_was_asked_on_a_wildcard_listener",),
    ),
    ("34", "normal is the default", ()),
    ("35", "any-port: the first answer may come from any port of the server", ()),
    ("36", "any-port: that port counts from then on, both ways", ()),
    ("37", "any-port: the client keeps seeing the original port", ()),
    ("38", "any-port: until then the original port, afterwards no other", ()),
    ("39", "any-sock: the first answer may come from anywhere and is then fixed", ()),
    ("40", "any-sock, transparent: the client sees who really answers", ()),
    ("41", "any-sock, transparent: what the client sends there is the same session", ()),
    ("42", "any-sock: whether the client can reach that server is not checked", (_MODEL,)),
    ("43", "broadcast: any number of servers may answer", ()),
    ("44", "broadcast: every answer comes from its server's address and the original port", ()),
    (
        "45",
        "broadcast beside other kinds for the same destination is warned of",
        (f"{_ACLCHECKS}test_broadcast_beside_other_types_for_the_same_destination_is_warned_of",),
    ),
    ("46", "DHCP is no protocol for this: an answer without a client to it goes nowhere", (_MODEL,)),
    ("47", "broadcast: nothing is fixed, and the client's datagrams go to the broadcast address", ()),
    # The target.
    ("48", "not transparent: without `plug-to` there is no session, and the log says so", ()),
    ("49", "transparent: `plug-to`, or else where the client wrote to", ()),
    # Sources.
    ("50", "without a word the system chooses address and port", ()),
    (
        "50a",
        "`source-address` forces an address, or the client's",
        (f"{_SYSLOG}test_messages_arrive_from_the_forced_address",),
    ),
    (
        "50b",
        "`source-port` needs the client's address",
        (f"{_SOURCECHECKS}test_a_source_port_without_the_clients_address_is_refused",),
    ),
    ("51", "with a forced port answers arrive at a listener, and find their session", ()),
    (
        "52",
        "a forced port without a listener is an error, the client's own a warning",
        (
            f"{_SOURCECHECKS}test_a_forced_port_that_no_listener_covers_is_refused",
            f"{_SOURCECHECKS}test_the_clients_own_port_cannot_be_checked_and_says_so",
        ),
    ),
    ("53", "without `source-address` the proxy's own address is used", ()),
    ("54", "client, then the given address, then the fallback", ()),
    (
        "55",
        "a rule's `source-address` stands above the proxy's",
        ("proxyd/daemon/test_demands.py::test_a_rules_own_source_address_stands_above_the_proxys",),
    ),
    # Broadcasts.
    (
        "56",
        "broadcasts to the proxy need a listener on 0.0.0.0",
        (f"{_SOURCECHECKS}test_broadcasts_need_a_listener_that_hears_them",),
    ),
    (
        "57",
        "broadcasts to networks behind need 0.0.0.0 or a transparent listener",
        (f"{_SOURCECHECKS}test_broadcasts_need_a_listener_that_hears_them",),
    ),
    ("58", "a broadcast to another network of the proxy's is transparent", ()),
    ("59", "the same interface with a forced port is refused", ()),
    ("60", "the proxy's own datagrams are not taken for a client's", ()),
    ("61", "five attributes tell them", ()),
    ("62", "they are dropped without touching the session", ()),
    # Limits of data.
    ("63", "`max-dgrams-in` ends a session", ()),
    (
        "64",
        "`max-dgrams-out` ends a session",
        (f"{_DNS}test_a_second_question_before_the_answer_ends_the_session_and_is_not_passed",),
    ),
    ("65", "`max-bytes-in` ends a session", ()),
    ("66", "`max-bytes-out` ends a session", ()),
    ("67", "exceeding ends it, and what exceeds is not passed", ()),
    (
        "68",
        "both numbers of datagrams reached end it at once",
        (f"{_DNS}test_dig_gets_its_answer_and_the_session_ends_right_after_it",),
    ),
    ("69", "one of them reached does not", ()),
    ("70", "a resent datagram counts again", ()),
    ("71", "what exceeds opens no session", ()),
    ("72", "bytes are payload bytes, and equality passes", ()),
    ("73", "what is not configured is unlimited; only what passed counts", (_MODEL,)),
    ("74", "of several reasons at once the first of their order is told", ()),
    # Limits of time.
    ("75", "`session` ends by age", ()),
    ("76", "`in` ends without the server", ()),
    ("77", "`out` ends without the client", ()),
    ("78", "`both` ends without either", ()),
    ("79", "each counts by itself", ()),
    ("80", "the other direction does not reset `in` and `out`", ()),
    ("81", "all begin with the session; never early, a second late at most", (_MODEL,)),
    ("82", "after the time a session is gone, served or not", ()),
    # Number of sessions.
    (
        "83",
        "`max-sessions` is never exceeded, over all workers",
        ("system/test_full_table.py::test_the_table_is_full_at_its_number_and_an_end_makes_room_for_one",),
    ),
    ("84", "at the limit new ones are dropped with a warning a second, none is evicted", ()),
    ("85", "an end makes room, and the client may come again", ()),
    ("86", "an ended session's socket hears nothing any more", ()),
    (
        "87",
        "errors of the network end no session",
        ("workers/test_loop.py::test_a_refusing_server_ends_no_session_and_costs_no_datagram_once_it_is_back",),
    ),
    # Transparency.
    ("88", "transparent and not: the client need not know of the proxy", ()),
    ("89", "each listener is transparent or not, and a proxy may have both", ()),
    ("90", "a transparent listener is one interface's, or every one's", ()),
    ("91", "to servers traffic can come from the client's address", ()),
    ("92", "answers come from the original destination", ()),
    ("93", "what is sent to the proxy itself is not transparent", ()),
    # Processes.
    (
        "94",
        "a parent and children run",
        (f"{_PROCESSES}test_children_are_an_ordinary_user_and_the_parent_keeps_what_replacements_take",),
    ),
    (
        "95",
        "the parent replaces children that end unexpectedly, and ends them when told",
        (
            f"{_DEATHS}test_a_killed_worker_is_replaced_and_the_datagrams_in_its_queue_are_served",
            "daemon/test_supervision.py::test_stop_ends_every_child_and_leaves_nothing",
        ),
    ),
    (
        "96",
        "workers do the work; here there are several",
        ("system/test_dns.py::test_dnsperf_loses_nothing_and_every_count_balances",),
    ),
    (
        "97",
        "configuration names are resolved by a child, and again when they expire",
        (f"{_NAMES}test_a_host_name_that_moves_takes_new_sessions_with_it_and_leaves_the_old_ones",),
    ),
    (
        "98",
        "names of addresses are resolved without holding up a worker",
        (f"{_NAMES}test_while_the_name_server_is_silent_one_datagram_waits_and_in_the_end_the_next_rule_counts",),
    ),
    (
        "99",
        "`singleproc` is one process, which waits for names",
        (
            f"{_NAMES}test_a_client_is_served_by_its_name_and_the_records_carry_it",
            "proxyd/daemon/test_single.py::test_a_question_for_a_name_is_answered",
        ),
    ),
    (
        "100",
        "signals: state, log level, log files, stop",
        (
            f"{_LOGS}test_the_level_goes_up_and_down_by_signals_in_every_process",
            f"{_LOGS}test_a_log_that_was_moved_away_is_opened_anew_by_its_name",
            "daemon/test_signals.py::test_the_parents_state_is_logged_and_no_childs",
        ),
    ),
    ("101", "too many deaths end the proxy", (f"{_DEATHS}test_more_deaths_than_the_limit_end_the_proxy",)),
    (
        "102",
        "root directory and user change before anything is served",
        (f"{_PROCESSES}test_children_have_the_configured_root_and_the_resolver_too",),
    ),
    (
        "103",
        "a dead worker's clients are served by its replacement on the same sockets",
        (
            f"{_DEATHS}test_a_killed_worker_is_replaced_and_the_datagrams_in_its_queue_are_served",
            f"{_DEATHS}test_a_dead_workers_sessions_take_the_room_they_had_and_no_more",
        ),
    ),
    (
        "104",
        "without `nodaemon` it detaches",
        ("system/test_daemon.py::test_the_command_returns_when_the_daemon_serves_and_the_daemon_is_detached",),
    ),
    # Logs, shaping, users, monitoring.
    (
        "105",
        "records have ids and levels from 3 to 9",
        ("workers/contract/test_catalogue.py::test_letters_have_levels_from_two_to_nine",),
    ),
    (
        "106",
        "statistics and notices are written at any level",
        ("workers/contract/test_catalogue.py::test_an_event_is_wanted_where_one_of_its_lines_is",),
    ),
    (
        "107",
        "queues shape what goes out, by rule and direction",
        (
            f"{_QUEUES}test_a_packet_filter_sees_the_mark_and_the_priority_of_either_direction",
            f"{_QUEUES}test_a_burst_passes_as_far_as_the_bucket_goes_and_the_rest_is_counted_as_shaped",
        ),
    ),
    (
        "108",
        "a queue's name means a mark, a priority, a rate; an unknown one is an error",
        (
            f"{_QUEUES}test_a_scheduler_sorts_by_the_mark_into_its_classes",
            f"{_ACLCHECKS}test_a_misspelt_queue_names_the_nearest",
        ),
    ),
    (
        "109",
        "users are known out of band only",
        ("proxyd/config/test_filechecks.py::test_users_are_known_only_out_of_band",),
    ),
    (
        "110",
        "the file gives users to addresses, and rules look at them",
        (f"{_USERS}test_the_user_of_an_address_chooses_the_rule_and_is_in_every_record",),
    ),
    ("111", "a session's user is looked up once, and is in its records", ()),
    (
        "112",
        "`monitoring` is understood",
        ("proxyd/config/test_filechecks.py::test_monitoring_data_may_be_just_long_enough",),
    ),
    (
        "113",
        "nothing promises delivery: what is dropped is counted by its reason",
        (_MODEL, f"{_DNS}test_dnsperf_loses_nothing_and_every_count_balances"),
    ),
)

REQUIREMENTS: dict[str, Requirement] = {f"K-{number}": Requirement(text, tests) for number, text, tests in _ROWS}
"""Every requirement by its number."""
