"""A Java class that takes the place of the JavaScript engine SPICE asks for.

SPICE indents its results with JavaScript before it writes them, and Java 15 dropped the engine that
did it. Its three calls are `put("jsonString", text)`, `eval("result = JSON.stringify(...)")` and
`get("result")`; here `eval` hands the text on as it is:

    public class PlainJson extends javax.script.AbstractScriptEngine implements
        javax.script.ScriptEngineFactory { public List getNames() { return
        Collections.singletonList("JavaScript"); } public String getEngineName() { return
        "JavaScript"; } public String getEngineVersion() { return "JavaScript"; } public
        ScriptEngine getScriptEngine() { return this; } public Object eval(String script,
        ScriptContext context) { put("result", get("jsonString")); return null; }
    }

Written as a class file (The Java Virtual Machine Specification, chapter 4) because a machine that
runs Java need not have a compiler. Methods of the interfaces that nobody calls are absent, which
Java allows.
"""

from pathlib import Path
from struct import pack

NAME = "PlainJson"

_PARENT = "javax/script/AbstractScriptEngine"
_FACTORY = "javax/script/ScriptEngineFactory"
_JAVA_8 = 52  # version of the format
_PUBLIC, _PUBLIC_CLASS = 0x0001, 0x0021
_THIS, _NULL, _RETURN, _RETURN_VALUE = b"\x2a", b"\x01", b"\xb1", b"\xb0"
_LOAD_CONSTANT, _CALL, _CALL_PARENT, _CALL_STATIC = b"\x13", b"\xb6", b"\xb7", b"\xb8"
_STACK = 4  # no method holds more values at a time


class _Constants:
    """The names and strings of a class file; entries are numbered from 1, equal ones share a
    number.
    """

    def __init__(self) -> None:
        self._entries: dict[bytes, int] = {}

    def text(self, text: str) -> bytes:
        return self._number(b"\x01" + pack(">H", len(text.encode())) + text.encode())

    def type(self, name: str) -> bytes:
        return self._number(b"\x07" + self.text(name))

    def string(self, text: str) -> bytes:
        return self._number(b"\x08" + self.text(text))

    def method(self, owner: str, name: str, kind: str) -> bytes:
        return self._number(
            b"\x0a" + self.type(owner) + self._number(b"\x0c" + self.text(name) + self.text(kind))
        )

    def table(self) -> bytes:
        return pack(">H", len(self._entries) + 1) + b"".join(self._entries)

    def _number(self, entry: bytes) -> bytes:
        return pack(">H", self._entries.setdefault(entry, len(self._entries) + 1))


def write_script_engine(folder: Path) -> None:
    """Write the class into `folder`, and the file that makes Java find it when `folder` is on the
    class path.
    """
    services = folder / "META-INF" / "services"
    services.mkdir(parents=True)
    (services / "javax.script.ScriptEngineFactory").write_text(f"{NAME}\n", encoding="ascii")
    (folder / f"{NAME}.class").write_bytes(class_file())


def class_file() -> bytes:
    """Return the class as Java reads it."""
    constants = _Constants()
    this, parent, interface = (
        constants.type(NAME),
        constants.type(_PARENT),
        constants.type(_FACTORY),
    )
    methods = [
        _method(constants, name, kind, locals_, code)
        for name, kind, locals_, code in _methods(constants)
    ]
    body = pack(">H", _PUBLIC_CLASS) + this + parent + pack(">H", 1) + interface
    body += (
        pack(">H", 0) + pack(">H", len(methods)) + b"".join(methods) + pack(">H", 0)
    )  # no fields; no attributes
    return b"\xca\xfe\xba\xbe" + pack(">HH", 0, _JAVA_8) + constants.table() + body


def _methods(constants: _Constants) -> list[tuple[str, str, int, bytes]]:
    """Return name, type, number of local variables (`this` and the arguments) and instructions of
    each method.
    """
    javascript = _LOAD_CONSTANT + constants.string("JavaScript")
    one_name = _CALL_STATIC + constants.method(
        "java/util/Collections", "singletonList", "(Ljava/lang/Object;)Ljava/util/List;"
    )
    source = _THIS + _LOAD_CONSTANT + constants.string("jsonString")
    get = _CALL + constants.method(NAME, "get", "(Ljava/lang/String;)Ljava/lang/Object;")
    put = _CALL + constants.method(NAME, "put", "(Ljava/lang/String;Ljava/lang/Object;)V")
    hand_on = _THIS + _LOAD_CONSTANT + constants.string("result") + source + get + put
    return [
        (
            "<init>",
            "()V",
            1,
            _THIS + _CALL_PARENT + constants.method(_PARENT, "<init>", "()V") + _RETURN,
        ),
        ("getNames", "()Ljava/util/List;", 1, javascript + one_name + _RETURN_VALUE),
        ("getEngineName", "()Ljava/lang/String;", 1, javascript + _RETURN_VALUE),
        ("getEngineVersion", "()Ljava/lang/String;", 1, javascript + _RETURN_VALUE),
        ("getScriptEngine", "()Ljavax/script/ScriptEngine;", 1, _THIS + _RETURN_VALUE),
        (
            "eval",
            "(Ljava/lang/String;Ljavax/script/ScriptContext;)Ljava/lang/Object;",
            3,
            hand_on + _NULL + _RETURN_VALUE,
        ),
    ]


def _method(constants: _Constants, name: str, kind: str, locals_: int, code: bytes) -> bytes:
    body = (
        pack(">HHI", _STACK, locals_, len(code)) + code + pack(">HH", 0, 0)
    )  # no exceptions caught; no attributes
    head = pack(">H", _PUBLIC) + constants.text(name) + constants.text(kind)
    return head + pack(">H", 1) + constants.text("Code") + pack(">I", len(body)) + body
