"""What came of a turn: the agent's own answer, else what its terminal showed."""

from meshd_core.contracts.kinds import Turn
from meshd_core.slots.agent_channel import AgentChannel
from meshd_core.slots.conversation import Prompts
from meshd_core.slots.feed import Feed
from meshd_core.slots.output import Output
from meshd_core.slots.receipts import Entry
from meshd_core.slots.turns import Outcome


class Replies:
    """Of one slot. Every text is filtered."""

    def __init__(self, channel: AgentChannel, output: Output, feed: Feed, prompts: Prompts) -> None:
        self._channel, self._output, self._feed, self._prompts = channel, output, feed, prompts

    async def of(self, entry: Entry, interrupted: bool) -> Outcome:
        """The agent's answer: from its own log if the kind reads one, else the lines since Enter. No log has what an
        interrupt cut off.
        """
        turn = Turn(prompt=entry.text, entered_at_ms=entry.entered_ms)
        reply = await self._channel.reply(turn)
        failure = None if interrupted else await self._channel.failure(turn)
        self._channel.learn()  # gemini reports nothing, and may go on in another log since
        if reply or (reply is not None and not interrupted):
            reply = self._output.filtered(reply)
        else:
            reply = await self._output.reply_lines(entry.line_mark, entry.text)
        self._prompts.replied(entry, self._feed.last_n())
        return Outcome(reply, None if failure is None else self._output.filtered(failure))
