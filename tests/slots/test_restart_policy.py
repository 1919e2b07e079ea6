"""When an agent that exited unasked is started again: the clock is passed in, so that minutes take no time."""

import itertools

import pytest

from meshd_core.slots.restart_policy import LONGEST_DELAY_S, RestartBudget, wants_restart


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_pause_doubles_from_one_second_with_jitter_of_a_fifth(clock: Clock) -> None:
    seen = []
    for _ in range(200):
        budget = RestartBudget(clock)
        seen.append([budget.delay_after_exit() for _ in range(4)])
    for step, delays in enumerate(zip(*seen, strict=True)):
        assert all(0.8 * 2**step <= delay <= 1.2 * 2**step for delay in delays)
        assert len(set(delays)) > 100  # spread, not the same for everyone
    assert max(delays[0] for delays in seen) > 1.1 > 0.9 > min(delays[0] for delays in seen)


def test_exits_that_are_never_five_in_ten_minutes_double_up_to_sixty_seconds(clock: Clock) -> None:
    budget = RestartBudget(clock)
    delays = []
    for _ in range(40):
        delays.append(budget.delay_after_exit())
        clock.now += 151.0  # four in ten minutes
    for step, delay in itertools.islice(enumerate(delays), 6):
        assert delay is not None and 0.8 * 2**step <= delay <= 1.2 * 2**step
    assert all(delay is not None and 0.8 * LONGEST_DELAY_S <= delay <= LONGEST_DELAY_S for delay in delays[6:])


def test_ten_quiet_minutes_end_the_doubling(clock: Clock) -> None:
    budget = RestartBudget(clock)
    for _ in range(3):
        budget.delay_after_exit()
    clock.now += 600.0
    assert (budget.delay_after_exit() or 99) <= 1.2


def test_the_fifth_exit_within_ten_minutes_is_enough_and_a_start_by_hand_begins_anew(clock: Clock) -> None:
    budget = RestartBudget(clock)
    for _ in range(4):
        assert budget.delay_after_exit() is not None
        clock.now += 149.0
    assert budget.delay_after_exit() is None
    assert budget.delay_after_exit() is None
    budget.reset()
    assert (budget.delay_after_exit() or 99) <= 1.2


@pytest.mark.parametrize(
    ("policy", "code", "restarts"),
    [
        ("never", 0, False), ("never", 3, False), ("never", None, False),
        ("on-failure", 0, False), ("on-failure", 3, True), ("on-failure", None, True),
        ("always", 0, True), ("always", 3, True), ("always", None, True),
    ],
)  # fmt: skip
def test_the_policy_decides_by_how_it_ended(policy, code, restarts) -> None:
    assert wants_restart(policy, code) is restarts
