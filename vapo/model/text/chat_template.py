"""Conversations rendered as transformers renders them, without transformers.

Invariants:
- a template runs sandboxed, with the tags, filters and functions that Hugging Face templates rely
  on: ``{% generation %}``, loop controls, ``tojson``, ``raise_exception``, ``strftime_now``;
- a name the folder gives no value to is undefined, never an empty text;
- an argument that the template does not read is refused rather than dropped.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from jinja2 import meta, nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from vapo.model.text.tokenizer_files import NAMES, TokenizerError

Message = Mapping[str, Any]
"""One chat message: ``role`` and ``content``."""
Render = Callable[[Sequence[Message]], str]
BUILT_IN = ("caller", "loop", "raise_exception", "strftime_now", "namespace", "range", "dict")
OURS = ("messages", "add_generation_prompt", "tools", "documents")
"""Names that every rendering fills in itself."""


class GenerationTag(Extension):
    """``{% generation %}...{% endgeneration %}``: marks what the model itself has said. It changes
    nothing of the text."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 reads the class attribute

    def parse(self, parser: Parser) -> nodes.Node:
        """A block that renders its body; in a scope of its own, as in transformers."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_whole"), [], [], body).set_lineno(line)

    def _whole(self, caller: Macro) -> str:
        return str(caller())


def renderer(source: str, where: str, tokens: Mapping[str, str], arguments: Mapping[str, Any]) -> Render:
    """What turns messages into the prompt of the model's next turn.

    Args:
        source: the template.
        where: the folder it is of, for the text of errors.
        tokens: the named special tokens: ``bos_token``, ...
        arguments: values of the template's own names (settings ``model.chat_template_arguments``).

    Raises:
        TokenizerError: the template is malformed, or does not read one of ``arguments``.
    """
    environment = _environment()
    try:
        template = environment.from_string(source)
        tree = environment.parse(source)
    except TemplateError as error:
        raise TokenizerError(f"the chat template of {where} is malformed: {error}") from None
    _check_arguments(arguments, tree, where)
    names = {**tokens, **arguments}

    def render(messages: Sequence[Message]) -> str:
        try:
            return template.render(messages=messages, add_generation_prompt=True, tools=None, documents=None, **names)
        except Exception as error:  # whatever the template's own expressions may raise
            reason = str(error) or type(error).__name__
            raise TokenizerError(f"the model's chat template refuses the messages: {reason}") from None

    return render


def _names_read(template: nodes.Template) -> set[str]:
    """Names a template may take from outside, those among them that it sets where they are not
    defined; not those of its own loops and macros."""
    bound = set(BUILT_IN)
    for loop in template.find_all(nodes.For):
        bound |= {
            name.name for name in (loop.target, *loop.target.find_all(nodes.Name)) if isinstance(name, nodes.Name)
        }
    for macro in template.find_all(nodes.Macro):
        bound |= {macro.name, *(argument.name for argument in macro.args)}
    read = {name.name for name in template.find_all(nodes.Name) if name.ctx == "load"}
    return read - bound


def _names_asked_for(template: nodes.Template) -> set[str]:
    """Those that it looks for outside, or asks whether they are defined: what there is to set."""
    tested = {
        test.node.name
        for test in template.find_all((nodes.Test, nodes.Filter))
        if test.name in ("defined", "undefined", "default") and isinstance(test.node, nodes.Name)
    }
    return meta.find_undeclared_variables(template) | tested


def _check_arguments(arguments: Mapping[str, Any], template: nodes.Template, where: str) -> None:
    read = _names_read(template)
    own = sorted(read & _names_asked_for(template) - {*OURS, *NAMES})
    for name in arguments:
        if name in OURS:
            raise TokenizerError(f"model.chat_template_arguments: {name} is filled in with each prompt; leave it out")
        if name not in read:
            known = f"it reads {', '.join(own)}" if own else "it reads none"
            raise TokenizerError(
                f"model.chat_template_arguments: the chat template of {where} does not read {name}; {known}"
            )


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _now
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.datetime.now().strftime(form)
