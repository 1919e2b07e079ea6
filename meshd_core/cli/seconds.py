"""Durations on the command line."""

import math

import click


class Seconds(click.FloatRange):
    """A number of seconds in a range; `nan`, which compares with nothing, is in none."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number. Fails with a usage error."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return number
