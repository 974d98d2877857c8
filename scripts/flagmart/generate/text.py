"""JSON text as FeatBit's evaluation server writes it, and the vocabulary of the stream."""

_KEPT_ESCAPES = {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def inner(text: str) -> str:
    r"""The inside of a JSON string as System.Text.Json's default encoder writes it.

    ASCII stays but for control characters, `"`, `&`, `'`, `+`, `<`, `>` and the backtick; these and
    everything outside ASCII become `\uXXXX` with capital digits, in UTF-16 units.
    """
    return "".join(
        _KEPT_ESCAPES.get(character)
        or (
            character
            if " " <= character <= "~" and character not in "\"&'+<>`"
            else _units(character)
        )
        for character in text
    )


def outer(text: str) -> str:
    """JSON text (all ASCII) as the inside of another JSON string: `properties` in the envelope."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _units(character: str) -> str:
    raw = character.encode("utf-16-be")
    return "".join(f"\\u{raw[i]:02X}{raw[i + 1]:02X}" for i in range(0, len(raw), 2))


FIRST_NAMES = (
    "Ada", "José", "Grace", "Zoë", "Linus", "李雷", "Maria", "Søren", "Kofi", "O'Neil", "Priya",
    "Łukasz", "John", "Ольга", "Emma", "Ada & Co", "Noah", "渡辺", "Mia", "R+D <test>", "Liam",
    "Müller", "Ines", "محمد", "Omar", "Ngọc", "Lea", "🦊 Fox", "Max", "Chloé", "Sam", "`root`",
)  # fmt: skip

APPLICATIONS = (
    "dotnet-server-side",
    "javaserverside",
    "pythonserverside",
    "goserverside",
    "Browser-Client-SDK",
    "NodeJS-Server-SDK",
    "Android",
    "Javascript",
)
"""What FeatBit's SDKs call themselves."""

BACKGROUND_EVENTS = (
    ("CustomEvent", "session-started"),
    ("CustomEvent", "search.performed"),
    ("CustomEvent", "session-started"),
    ("PageView", "page-home"),
    ("CustomEvent", "file_uploaded"),
    ("CustomEvent", "session-started"),
    ("CustomEvent", "search.performed"),
    ("Click", "click-menu"),
)
"""Metric events of no experiment: 3/4 custom events, 1/8 page views, 1/8 clicks."""

BACKGROUND_VALUES = (
    "1",
    "1",
    "1",
    "1",
    "1",
    "1.5",
    "0.1",
    "2",
    "19.99",
    "0",
    "17",
    "250.75",
    "1",
    "3",
    "-5",
    "16777216",
)
"""The shortest text of a float32, as C# prints it."""
