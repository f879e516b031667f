"""Which events answer a range read, and how much of them fits into one reply.  Pure."""

from dataclasses import dataclass

from wire.limits import HISTORY_BYTES_MAX, HISTORY_EVENTS_MAX
from wire.node_messages import NodeFrame, RangeRead


@dataclass(frozen=True, slots=True)
class Window:
    """The events `after` + 1 to `upto`, at most HISTORY_EVENTS_MAX; `backwards`: asked from the newer end."""

    after: int
    upto: int
    backwards: bool


def window_of(question: RangeRead, head: int, first_kept: int) -> Window:
    """What a question asks for of a log whose last event is `head` and whose oldest kept one is `first_kept`."""
    limit = min(max(1, question.limit), HISTORY_EVENTS_MAX)
    oldest = first_kept - 1
    if question.after >= 0:
        after = min(max(question.after, oldest), head)
        return Window(after, min(after + limit, head), backwards=False)
    upto = min(question.before - 1, head) if question.before > 0 else head
    return Window(min(max(upto - limit, oldest), head), max(upto, oldest), backwards=True)


def fit(frames: list[NodeFrame], backwards: bool, bytes_max: int = HISTORY_BYTES_MAX) -> list[NodeFrame]:
    """As many frames as fit, from the end the reader came from; always at least one."""
    size = 0
    ordered = reversed(frames) if backwards else iter(frames)
    count = 0
    for frame in ordered:
        size += len(frame.frame)
        if count and size > bytes_max:
            break
        count += 1
    return frames[len(frames) - count :] if backwards else frames[:count]


def has_more(frames: list[NodeFrame], window: Window, head: int, first_kept: int) -> bool:
    """Whether the log goes on beyond the reply in the direction of the question."""
    if window.backwards:
        oldest = frames[0].offset if frames else window.upto + 1
        return oldest > first_kept
    newest = frames[-1].offset if frames else window.after
    return newest < head
